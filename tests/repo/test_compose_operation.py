"""compose.yaml is safe to run: secrets, limits, restarts, privileges and reachable ports."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from gateway.certs.environment import NAMES, write_environment
from gateway.certs.folder import CONTAINER_USER, Certificates
from schemas.settings.blocks import BridgeSettings
from tests.support.compose import COMPOSE, OURS, SERVICES, mounts, ports, texts, variables
from tests.support.paths import ROOT

pytestmark = pytest.mark.usefixtures("default_settings")

ONCE = {"migrate", "grafana-login", "doctor"}


def test_only_mqtt_is_reachable_from_outside() -> None:
    for name, service in SERVICES.items():
        for address in ports(service).values():
            assert name == "mosquitto" or address.startswith("127.0.0.1:"), (name, address)


def test_make_certs_creates_every_required_file_and_variable(tmp_path: Path) -> None:
    write_environment(tmp_path / ".env")
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if "=" in line)
    assert made.keys() == set(NAMES)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    required = {name for name, kind in variables(COMPOSE).items() if kind != ":-"}
    assert required == made.keys()
    assert {kind for name, kind in variables(COMPOSE).items() if name in required} == {":?"}
    assert made["GATEWAY_UID"] == str(os.getuid() or CONTAINER_USER)

    Certificates(tmp_path / "certs").make(["mosquitto"], days=1)
    for name, service in SERVICES.items():
        for source, target in mounts(service):
            place = (tmp_path if source.startswith("./certs") else ROOT) / source
            assert place.exists(), (name, source)
            # Files that are named by where they are mounted.
            for file in re.findall(rf"{target}/([\w.]+)", " ".join(texts({**service, "volumes": []}))):
                assert (place / file).exists(), (name, file)


def test_no_secret_has_a_default() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY_PEM", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]*\}", value), (name, variable)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_limited_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+[.\d]*(-[a-z]+)?$", service["image"])
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    once = name in ONCE
    assert (service["restart"] == "unless-stopped") is not once
    # The console's image has nothing to ask with.
    assert once or name == "console" or service["healthcheck"]["test"]
    for entry in service.get("volumes", []):
        source = entry.split(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_processes_have_time_to_drain_and_no_privileges(name: str) -> None:
    service = OURS[name]
    assert int(service["stop_grace_period"].removesuffix("s")) > BridgeSettings().shutdown_timeout + 1
    assert service["user"].startswith("${GATEWAY_UID")
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True


def test_the_bridge_window_fits_into_its_memory_limit() -> None:
    """One VEN can fill the window with messages of the largest size, while the log is away."""
    configuration = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
    (largest,) = re.findall(r"^max_packet_size (\d+)$", configuration, re.MULTILINE)
    limit = SERVICES["bridge"]["deploy"]["resources"]["limits"]["memory"]
    assert limit.endswith("M")
    assert BridgeSettings().bridge_window * int(largest) + 100 * 2**20 < 0.95 * int(limit[:-1]) * 2**20


def test_gateway_env_reaches_every_process_and_is_ignored_by_git() -> None:
    for service in OURS.values():
        assert service["env_file"] == [{"path": "gateway.env", "required": False}]
    subprocess.run(["git", "check-ignore", "-q", "gateway.env"], cwd=ROOT, check=True)
