"""`gateway doctor` on broken setups: it names the wrong setting and what to do."""

from pathlib import Path

import pytest
import pytest_asyncio

from gateway.certs.authority import Authority
from gateway.diagnostics.doctor import BLOCKS, run_doctor
from gateway.stack import LocalStack
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from schemas.settings.mqtt import MqttSettings
from tests.support.compose import settings_fields
from tests.support.mosquitto import needs_mosquitto
from tests.support.servers import Databases, Topics
from tests.support.tls_broker import TlsBroker, tls_broker

__all__ = ["tls_broker"]

PLAIN = [
    # A wrong setting, and what the finding must contain.
    ({"DB_PASSWORD": "wrong"}, "check DB_USER and DB_PASSWORD"),
    ({"DB_NAME": "nowhere"}, "create it, or check DB_NAME"),
    ({"DB_NAME": "postgres"}, "run `gateway migrate`"),
    ({"DB_PORT": "1"}, "check DB_HOST and DB_PORT"),
    ({"DB_SSLMODE": "require"}, "turn it on there (ssl = on), or set DB_SSLMODE=prefer"),
    ({"DB_SSLMODE": "verify-full", "DB_SSLROOTCERT": "/nowhere/ca.pem"}, "DB_SSLROOTCERT cannot be used"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "Connection refused; check KAFKA_BOOTSTRAP_SERVERS"),
    ({"KAFKA_TOPIC_PREFIX": "other-"}, "run `gateway topics`"),
    ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SECURITY_PROTOCOL"),
    ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME is not set"),
    ({"MQTT_HOST": ""}, "MQTT_HOST is not set"),
    ({"MQTT_PORT": "1"}, "Connection refused; check MQTT_HOST and MQTT_PORT"),
    ({"MQTT_USE_TLS": "true"}, "MQTT_CA_CERT is not set"),
    ({"MQTT_USE_TLS": "true", "MQTT_CA_CERT": "ca.pem", "MQTT_USERNAME": "u"}, "check MQTT_PORT and MQTT_USE_TLS"),
    ({"MQTT_TOPICS": "ven/+bad"}, "ven/+bad"),
    ({"BRIDGE_WINDOW": "many"}, "BRIDGE_WINDOW"),
    ({"COMMAND_ANSWER_SECONDS": "soon"}, "COMMAND_ANSWER_SECONDS"),
    ({"LOG_LEVEL": "loud", "TRACE_MESSAGES": "2"}, "TRACE_MESSAGES"),
    ({"API_AUTH": "perhaps"}, "API_AUTH"),
]
OVER_TLS = [
    ({"MQTT_CA_CERT": "ca.pem"}, "set MQTT_CA_CERT to the CA that signed it"),
    ({"MQTT_TLS_SERVER_NAME": "elsewhere.example.org"}, "set MQTT_TLS_SERVER_NAME to a name that it contains"),
    ({"MQTT_CLIENT_CERT": "{expired}/client.pem", "MQTT_CLIENT_KEY": "{expired}/client.key"}, "renew the client"),
    (
        {"MQTT_CLIENT_CERT": "{stranger}/client.pem", "MQTT_CLIENT_KEY": "{stranger}/client.key"},
        "must have signed MQTT_CLIENT_CERT",
    ),
    ({"MQTT_CLIENT_CERT": "", "MQTT_CLIENT_KEY": "", "MQTT_USERNAME": "u"}, "must have signed MQTT_CLIENT_CERT"),
]


@pytest_asyncio.fixture(scope="module")
async def world(stack: LocalStack, databases: Databases, topics: Topics) -> dict[str, str]:
    """Settings in which nothing is wrong; nobody writes there."""
    database, kafka = await databases.migrated(), await topics.fresh()
    return {
        **stack.environment(),
        "DB_NAME": database.db_name,
        "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
    }


@pytest.fixture
def healthy(world: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment that says so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_bytes(Authority.create("Another CA").certificate)
    for name in settings_fields():
        monkeypatch.delenv(name, raising=False)
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


async def findings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    well = await run_doctor()
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗")]
    assert well is not bool(found)
    return found


def test_doctor_checks_every_setting() -> None:
    looked_at = {*BLOCKS, DatabaseSettings, KafkaSettings, MqttSettings, AccessSettings}
    assert set(settings_fields().values()) == looked_at


async def test_doctor_passes_with_correct_settings(
    healthy: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert healthy is not None
    assert await findings(capsys) == []


@pytest.mark.parametrize(("broken", "expected"), PLAIN, ids=lambda each: str(each)[:40])
async def test_wrong_setting_is_named(
    healthy: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: dict[str, str], expected: str
) -> None:
    for name, value in broken.items():
        healthy.setenv(name, value)
    (found,) = await findings(capsys)
    assert expected in found


@needs_mosquitto
@pytest.mark.parametrize(("broken", "expected"), [({}, ""), *OVER_TLS], ids=lambda each: str(each)[:40])
async def test_wrong_certificate_is_named(
    healthy: pytest.MonkeyPatch,
    tls_broker: TlsBroker,
    capsys: pytest.CaptureFixture[str],
    broken: dict[str, str],
    expected: str,
) -> None:
    assert await tls_broker.up()
    given = tls_broker.settings().model_dump(
        include={"mqtt_port", "mqtt_ca_cert", "mqtt_client_cert", "mqtt_client_key"}
    )
    folders = {"expired": tls_broker.expired(), "stranger": tls_broker.stranger()}
    values = {name.upper(): str(value) for name, value in given.items()} | broken
    healthy.setenv("MQTT_USE_TLS", "true")
    for name, value in values.items():
        healthy.setenv(name, value.format(**folders))
    found = await findings(capsys)
    assert len(found) == (1 if broken else 0)
    assert all(expected in each for each in found)
