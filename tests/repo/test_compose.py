"""compose.yaml fits the code: commands, settings, ports and health checks exist as it uses them."""

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for
from typer.testing import CliRunner

from bridge.main import BridgeConfig
from gateway.certs.folder import BRIDGE
from gateway.cli import app
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, BridgeSettings, DatabaseSettings, KafkaSettings, StreamsSettings
from schemas.settings.mqtt import MqttSettings
from streams.roles import ROLES
from tests.support.compose import (
    COMPOSE,
    OURS,
    SERVICES,
    as_fields,
    environment,
    ports,
    settings_fields,
    texts,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.usefixtures("default_settings")

PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
CORE = {"redpanda", "postgres", "mosquitto", "migrate", "bridge", *ROLES, "api"}
ONCE = {"migrate", "grafana-login", "doctor"}
# The ports of third-party images.
THEIRS = {"redpanda": {9092, 9644}, "postgres": {5432}, "mosquitto": {8883}, "prometheus": {9090}, "grafana": {3000}}


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
        **{role: StreamsSettings(**as_fields(environment(role))).streams_health_port for role in ROLES},
        "api": ApiSettings(**as_fields(environment("api"))).api_port,
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
