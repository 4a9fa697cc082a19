"""compose.yaml, the Dockerfile and what they mount fit the code: these tests stand in for a Docker engine."""

import json
import os
import re
import shlex
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for
from typer.testing import CliRunner

from bridge.main import BridgeConfig
from gateway.certs.environment import NAMES, write_environment
from gateway.certs.folder import BRIDGE, CONTAINER_USER, Certificates
from gateway.cli import app
from schemas.mqtt.filters import matches
from schemas.mqtt.sender import ven_id_in_topic
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, BridgeSettings, DatabaseSettings, KafkaSettings, StreamsSettings
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from streams.roles import ROLES
from tests.support.compose import COMPOSE, OURS, SERVICES, mounts, ports, settings_fields, texts, variables
from tests.support.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
CORE = {"redpanda", "postgres", "mosquitto", "migrate", "bridge", *ROLES, "api"}
ONCE = {"migrate", "grafana-login", "doctor"}
# Of images that are not ours: their ports, and their own variables.
THEIRS = {"redpanda": {9092, 9644}, "postgres": {5432}, "mosquitto": {8883}, "prometheus": {9090}, "grafana": {3000}}


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in settings_fields():
        monkeypatch.delenv(name, raising=False)


def environment(service: str) -> dict[str, str]:
    """What the process of a service finds, with variables put in."""
    given = OURS[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value) for name, value in given.items()}


def test_the_file_matches_the_compose_specification() -> None:
    """By the schema of the Compose specification (compose-spec, Apache-2.0), which check-jsonschema carries."""
    carried = metadata.distribution("check-jsonschema").locate_file(
        "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    )
    schema = json.loads(Path(str(carried)).read_text())
    validator = validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {"api": {"restrat": "always"}}}
    assert not validator.is_valid(broken)


def test_only_core_services_start_without_a_profile() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == CORE
    for name, service in SERVICES.items():
        for needed in service.get("depends_on", {}):
            allowed = {*service.get("profiles", []), None}
            assert {*SERVICES[needed].get("profiles", [None])} <= allowed, (name, needed)


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    # Unknown commands and options are errors before the help is shown.
    outcome = CliRunner().invoke(app, [*OURS[name]["command"], "--help"])
    assert outcome.exit_code == 0, outcome.output


def test_each_stream_role_has_one_service() -> None:
    run = [service["command"][1] for service in OURS.values() if service["command"][0] == "streams"]
    assert sorted(run) == sorted(ROLES)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_with_a_valid_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = settings_fields()
    given = environment(name)
    assert given.keys() <= known.keys()
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    for block in {known[variable] for variable in given}:
        block.load()


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("migrate", [DatabaseSettings]),
        ("bridge", []),
        ("validate", [KafkaSettings, StreamsSettings]),
        ("sink", [KafkaSettings, StreamsSettings, DatabaseSettings]),
        ("live", [KafkaSettings, StreamsSettings]),
        ("doctor", [KafkaSettings, DatabaseSettings, MqttSettings]),
        ("api", [KafkaSettings, DatabaseSettings, ApiSettings]),
    ],
)
def test_no_required_setting_is_missing(name: str, blocks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in environment(name).items():
        monkeypatch.setenv(variable, value)
    for block in blocks:
        block.load()
    if name == "bridge":
        assert BridgeConfig.load().mqtt.mqtt_client_id == BRIDGE


def test_health_checks_and_scrapes_use_the_real_ports() -> None:
    ports_of: dict[str, int] = {
        "bridge": BridgeSettings(bridge_health_port=environment("bridge")["BRIDGE_HEALTH_PORT"]).bridge_health_port,
        **{role: StreamsSettings(**_lower(environment(role))).streams_health_port for role in ROLES},
        "api": ApiSettings(**_lower(environment("api"))).api_port,
    }
    assert ports_of.keys() == OURS.keys() - ONCE
    for name, port in ports_of.items():
        asked = " ".join(OURS[name]["healthcheck"]["test"])
        assert f"http://127.0.0.1:{port}/health/ready" in asked
    scraped = {
        target for job in PROMETHEUS["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    }
    assert scraped == {f"{name}:{port}" for name, port in ports_of.items()} | {"redpanda:9644"}


def test_the_api_needs_keys_but_its_metrics_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment("api")
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    access = AccessSettings.load()
    assert not access.is_open(given["API_HOST"])
    assert access.api_metrics_open
    # The doctor looks at the same API.
    assert environment("doctor")["API_HOST"] == given["API_HOST"]


def test_documented_container_commands_exist() -> None:
    """The first key, above all: without one the API does not begin to listen."""
    text = (ROOT / "docs/how-to/deploy.md").read_text()
    run = re.findall(r"docker compose run --rm (\w+) *(.*?) *(?:#|`|$)", text, re.MULTILINE)
    assert ("api", "keys create ops --role admin") in run
    for name, words in run:
        command = words.split() or OURS[name]["command"]
        outcome = CliRunner().invoke(app, [*command, "--help"])
        assert outcome.exit_code == 0, outcome.output
    assert text.index("keys create ops") < text.index("docker compose up")


def _lower(given: dict[str, str]) -> Any:
    return {name.lower(): value for name, value in given.items()}


def test_addresses_name_services_and_their_ports() -> None:
    ours: dict[str, set[int]] = {"api": {8000}, "bridge": {8081}, **{role: {8082} for role in ROLES}}
    for name, service in SERVICES.items():
        for text in texts(service.get("environment", {})):
            for host, port in re.findall(r"\b([a-z-]+):(\d+)$", text):
                assert int(port) in {**THEIRS, **ours}[host], (name, text)
        given = service.get("environment", {})
        for host, port in (("DB_HOST", "DB_PORT"), ("MQTT_HOST", "MQTT_PORT")):
            if host in given:
                assert int(given[port]) in THEIRS[given[host]]
        assert ports(service).keys() <= ({**THEIRS, **ours, "console": {8080}}[name] if ports(service) else set())
    configuration = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
    assert re.findall(r"^listener (\d+)$", configuration, re.MULTILINE) == ["8883"]


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


def test_the_image_has_all_packages_and_an_unprivileged_user() -> None:
    lines = [line.strip() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    copied = {shlex.split(line)[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= copied
    ignored = (ROOT / ".dockerignore").read_text()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in shlex.split(line)[1:-1]:
                assert (ROOT / source).exists()
                assert f"\n!{source}\n" in ignored
    assert f"USER {CONTAINER_USER}:{CONTAINER_USER}" in lines
    assert lines.index(f"USER {CONTAINER_USER}:{CONTAINER_USER}") > max(
        number for number, line in enumerate(lines) if line.startswith("FROM ")
    )
    assert 'ENTRYPOINT ["gateway"]' in lines
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    for secret in ("certs/ca/ca.key", ".env"):
        subprocess.run(["git", "check-ignore", "-q", secret], cwd=ROOT, check=True)


def test_the_mosquitto_queue_fits_into_its_memory_limit() -> None:
    """Measured with mosquitto 2.0.11: 390 bytes for each message beside its payload."""
    configuration = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
    most = {name: int(number) for name, number in re.findall(r"^max_queued_(\w+) (\d+)$", configuration, re.MULTILINE)}
    limit = SERVICES["mosquitto"]["deploy"]["resources"]["limits"]["memory"]
    assert limit.endswith("G")
    assert 0 < most["bytes"] + 400 * most["messages"] < 0.95 * int(limit[:-1]) * 2**30


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


def test_the_acl_limits_a_ven_to_its_own_topics() -> None:
    """What a VEN may write names it in the topic, and the gateway believes the topic."""
    lines = (ROOT / "deploy/mosquitto/acl").read_text().splitlines()
    patterns = [line.split()[1:] for line in lines if line.startswith("pattern ")]
    given = environment("bridge")
    routes = MqttTopicSettings(**_lower({name: value for name, value in given.items() if "TOPIC" in name})).routes
    for access, topic in patterns:
        assert "%u" in topic.split("/")
        concrete = topic.replace("%u", "ven-1")
        if access == "write":
            assert ven_id_in_topic(routes.kind_of(concrete), concrete) == "ven-1"
            assert any(matches(name, concrete) for name in routes.filters)
    assert [line for line in lines if line.startswith("user ")] == [f"user {BRIDGE}"]
    assert [line for line in lines if line.startswith("topic ")] == [
        "topic read #",
        "topic read $aws/#",
        "topic write ven/cmd/+",
    ]
