"""A bridge whose TLS settings are wrong says which setting to change."""

import asyncio
import gc
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.main import BridgeConfig, run_bridge
from bridge.mqtt.tls_diagnosis import diagnose_mqtt_tls
from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from schemas.settings.blocks import BridgeSettings, KafkaSettings, SettingsError
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from tests.support.bridges import Bridges
from tests.support.mosquitto import needs_mosquitto
from tests.support.tls_broker import TlsBroker, tls_broker

__all__ = ["tls_broker"]
pytestmark = needs_mosquitto


def of_a_stranger(tls_broker: TlsBroker) -> MqttSettings:
    return tls_broker.settings(tls_broker.stranger())


def under_another_name(tls_broker: TlsBroker) -> MqttSettings:
    return tls_broker.settings(mqtt_tls_server_name="elsewhere.example.org")


def with_another_ca(tls_broker: TlsBroker) -> MqttSettings:
    return tls_broker.settings(mqtt_ca_cert=str(tls_broker.stranger() / "ca.pem"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (with_another_ca, "set MQTT_CA_CERT to the CA"),
        (of_a_stranger, r"must have signed MQTT_CLIENT_CERT"),
        (under_another_name, "set MQTT_TLS_SERVER_NAME"),
    ],
)
async def test_a_tls_diagnosis_names_the_setting(
    tls_broker: TlsBroker, settings: Callable[[TlsBroker], MqttSettings], named: str
) -> None:
    assert await tls_broker.up()
    assert await diagnose_mqtt_tls(tls_broker.settings()) is None
    assert re.search(named, await diagnose_mqtt_tls(settings(tls_broker)) or "")


async def test_an_unreachable_broker_is_no_tls_error(tls_broker: TlsBroker, stack: LocalStack) -> None:
    assert await diagnose_mqtt_tls(tls_broker.settings(mqtt_port=stack.mqtt_port)) is None
    assert await diagnose_mqtt_tls(tls_broker.settings(mqtt_port=1)) is None


@pytest.mark.parametrize("as_text", [False, True])
async def test_a_bridge_with_an_expired_certificate_does_not_start(
    tls_broker: TlsBroker, kafka: KafkaSettings, *, as_text: bool
) -> None:
    folder = tls_broker.expired()
    given: dict[str, Any] = {}
    if as_text:
        given = {"client_cert_pem": (folder / "client.pem").read_text()}
    config = BridgeConfig(
        tls_broker.settings(folder, **given), MqttTopicSettings.load(), kafka, BridgeSettings(bridge_health_port=0)
    )
    named = "CLIENT_CERT_PEM" if as_text else "MQTT_CLIENT_CERT"
    with pytest.raises(SettingsError, match=rf"^{named} expired at 20.* UTC; renew"):
        await run_bridge(config, asyncio.Event())


async def test_a_bridge_with_the_wrong_ca_exits_with_one_sentence(
    tls_broker: TlsBroker, stack: LocalStack, kafka: KafkaSettings, tmp_path: Path
) -> None:
    assert await tls_broker.up()
    bridges = Bridges(with_another_ca(tls_broker), kafka, tmp_path)
    process = await bridges.process(stack)
    assert await process.wait() == 1
    (sentence,) = [line for line in (tmp_path / "bridge.log").read_text().splitlines() if "gateway: " in line]
    assert "set MQTT_CA_CERT to the CA that signed it" in sentence
    assert "Traceback" not in (tmp_path / "bridge.log").read_text()


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_ca_that_becomes_wrong_is_named_and_retried(
    kafka: KafkaSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = TlsBroker(tmp_path)
    own, shown = tmp_path / "certs" / "bridge", tmp_path / "shown"
    shutil.copytree(own, shown)
    bridges = Bridges(broker.settings(shown, mqtt_ca_cert=str(shown / "ca.pem")), kafka, tmp_path)

    def logged(words: str) -> bool:
        return any("no MQTT connection" in message and words in message for message in caplog.messages)

    with broker.running():
        assert await broker.up()
        stop = asyncio.Event()
        bridge = bridges.task(stop)
        assert await wait_until(lambda: bridge.done() or bridges.ready(), 60)
        shutil.copy(broker.stranger() / "ca.pem", shown)
    with broker.running():
        assert await wait_until(lambda: bridge.done() or logged("set MQTT_CA_CERT to the CA"), 60)
        shutil.copytree(own, shown, dirs_exist_ok=True)
        assert await wait_until(lambda: bridge.done() or bridges.ready(), 60)
        stop.set()
        await bridge
    gc.collect()
