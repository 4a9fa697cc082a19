"""The broker with the files of deploy/mosquitto, the bridge with mutual TLS, VENs with certificates of their own."""

import asyncio
import gc
import json
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from bridge.main import BridgeConfig, run_bridge
from bridge.mqtt.connection import Connection
from bridge.mqtt.tls_diagnosis import diagnose_mqtt_tls
from gateway.stack import LocalStack
from gateway.stack.polling import until
from schemas.mqtt.routing import Kind
from schemas.settings.blocks import BridgeSettings, DatabaseSettings, KafkaSettings, SettingsError
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from tests.support.bridges import Bridges
from tests.support.kafka_records import read_all
from tests.support.mosquitto import needs_mosquitto
from tests.support.pipeline import pipeline
from tests.support.secured import Secured, secured

__all__ = ["secured"]
pytestmark = needs_mosquitto

TOPICS = {
    "mqtt_topic_metering": "volttron/metering",
    "mqtt_topic_status": "volttron/dev",
    "mqtt_topic_shadow": "$aws/things/+/shadow/update",
    "backend_loads_topic": "ven/loads/+",
    "mqtt_topics": "ven/telemetry/+",
}
LAST = 99.0


def sample(ven_id: str, power: float) -> bytes:
    return json.dumps({"venId": ven_id, "timestamp": time.time(), "usedPowerKw": power}).encode()


async def test_forged_messages_of_another_ven_are_never_stored(
    secured: Secured, kafka: KafkaSettings, database: DatabaseSettings, tmp_path: Path
) -> None:
    assert await secured.up()
    good, bad = secured.ven("ven-good"), secured.ven("ven-bad")
    bridges = Bridges(secured.settings(), kafka, tmp_path)
    ack = json.dumps({"op": "event", "status": "accepted", "event_id": "evt-1", "correlationId": "c-1"}).encode()
    forged = sample("ven-good", 66.0)
    async with pipeline(kafka, database) as way:
        async with bridges.running(**TOPICS):
            async with secured.client(good) as client:
                await client.publish("ven/telemetry/ven-good", sample("ven-good", 1.0), qos=1)
            # The client id is the bridge's, whose session it does not get.
            async with secured.client(bad, identifier=bridges.mqtt.mqtt_client_id) as client:
                await client.publish("ven/telemetry/ven-bad", sample("ven-bad", 2.0), qos=1)
                for topic, payload in (
                    ("ven/telemetry/ven-good", forged),
                    ("volttron/metering", forged),
                    ("volttron/dev", b'{"ven":"offline","venId":"ven-good"}'),
                    ("ven/loads/ven-good", forged),
                    ("ven/ack/ven-good", ack),
                    ("ven/cmd/ven-good", ack),
                    ("$aws/things/ven-good/shadow/update", b'{"state":{"reported":{}}}'),
                ):
                    await client.publish(topic, payload, qos=1)
                # Where it may publish, and as another only by what it says.
                await client.publish("ven/telemetry/ven-bad", forged, qos=1)
                await client.publish("ven/telemetry/ven-bad", sample("ven-bad", LAST), qos=1)
            assert await until(lambda: _has_come(kafka, LAST), 60, every=0.2)
            assert await bridges.ready()
        await way.settle()
        rows = await way.rows.fetch("SELECT ven_id, used_power_kw FROM telemetry_readings ORDER BY used_power_kw")
        assert [tuple(row) for row in rows] == [("ven-good", 1.0), ("ven-bad", 2.0), ("ven-bad", LAST)]
        assert await way.rows.fetchval("SELECT count(*) FROM ven_acks") == 0
        # All but one of the forgeries ended at the broker; the one that it lets pass is known by its topic.
        assert [(row["reason"], row["ven_id"]) for row in await way.index()] == [("id_mismatch", "ven-bad")]
    for kind in set(Kind) - {Kind.METERING}:
        assert await read_all(kafka, kafka.topics.raw(kind)) == []


async def _has_come(kafka: KafkaSettings, power: float) -> bool:
    records = await read_all(kafka, kafka.topics.raw(Kind.METERING))
    return any(json.loads(record.value)["usedPowerKw"] == power for record in records)


async def test_a_ven_receives_only_its_own_commands(secured: Secured) -> None:
    assert await secured.up()
    heard: dict[str, list[str]] = {}
    async with secured.client(secured.ven("ven-good")) as good, secured.client(secured.ven("ven-bad")) as bad:
        for client in (good, bad):
            for name in ("ven/cmd/+", "ven/cmd/ven-good", "#"):
                await client.subscribe(name, qos=1)
        bridge = Connection(secured.settings(), lambda *_: None)
        async with bridge:
            for ven_id in ("ven-good", "ven-bad"):
                written = asyncio.Event()
                assert bridge.publish(f"ven/cmd/{ven_id}", b"{}", written.set)
                await asyncio.wait_for(written.wait(), 60)
        for ven_id, client in (("ven-good", good), ("ven-bad", bad)):
            # What the broker has for it comes before the answer to a request.
            await client.subscribe("nothing", qos=1)
            heard[ven_id] = [str(message.topic) for message in _received(client)]
    assert set(heard["ven-good"]) == {"ven/cmd/ven-good"}
    assert set(heard["ven-bad"]) == {"ven/cmd/ven-bad"}


async def test_a_last_will_reaches_only_the_vens_own_topics(secured: Secured) -> None:
    assert await secured.up()
    shown = secured.ven("ven-bad")
    async with secured.client(secured.folder / "certs" / "bridge") as listening:
        await listening.subscribe("ven/#", qos=1)
        for topic in ("ven/telemetry/ven-good", "ven/ack/ven-good", "ven/cmd/ven-bad", "ven/telemetry/ven-bad"):
            will = aiomqtt.Will(topic, b"will", qos=1)
            with suppress(aiomqtt.MqttError):
                async with secured.client(shown, will=will) as dying:
                    line: Any = dying._client.socket()
                    line.shutdown(socket.SHUT_RDWR)
                    await anext(dying.messages)
        async with asyncio.timeout(60):
            assert str((await anext(listening.messages)).topic) == "ven/telemetry/ven-bad"


def _received(client: Any) -> list[Any]:
    queue = client._queue
    return [queue.get_nowait() for _ in range(queue.qsize())]


def speak(secured: Secured, context: ssl.SSLContext) -> str:
    """Connect as MQTT clients do, and return what the broker answers: an MQTT packet, nothing, or its refusal."""
    for patience in (0.2, 2.0, 10.0):
        # What is said before its refusal has come makes it reset the connection, and then nobody hears why.
        with suppress(ConnectionError):
            return _speak(secured, context, patience)
    return "reset"


def _speak(secured: Secured, context: ssl.SSLContext, patience: float) -> str:
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                # TLS 1.3: it looks at the certificate only after the client believes to be done.
                connection.settimeout(patience)
                with suppress(TimeoutError):
                    connection.recv(1)
                connection.settimeout(10)
                connection.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test")
                return "let in" if connection.recv(4) == b"\x20\x02\x00\x00" else "closed"
        except ssl.SSLError as error:
            return error.reason or "closed"


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (lambda secured: secured.ven("ven-good"), "let in"),
        (Secured.expired, "EXPIRED"),
        (Secured.stranger, "UNKNOWN_CA"),
        (lambda _: None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
    ],
    ids=["good", "expired", "of another CA", "none"],
)
async def test_only_valid_certificates_are_accepted(
    secured: Secured, shown: Callable[[Secured], Path | None], answer: str
) -> None:
    assert await secured.up()
    assert re.search(answer, await asyncio.to_thread(speak, secured, secured.context(shown(secured))))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_the_broker_refuses_tls_1_0(secured: Secured) -> None:
    assert await secured.up()
    old = secured.context(secured.ven("ven-good"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    assert "PROTOCOL_VERSION" in await asyncio.to_thread(speak, secured, old)
    # The same client is understood by a server that speaks as it does.
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = secured.folder / "certs" / "mosquitto"
    server.load_cert_chain(own / "server.pem", own / "server.key")
    server.set_ciphers("ALL:@SECLEVEL=0")
    server.minimum_version = ssl.TLSVersion.TLSv1
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor(1) as threads, ours, theirs:
        accepted = threads.submit(server.wrap_socket, theirs, server_side=True)
        with old.wrap_socket(ours, server_hostname="localhost") as connection:
            assert connection.version() == "TLSv1"
            accepted.result(10).close()


def of_a_stranger(secured: Secured) -> MqttSettings:
    return secured.settings(secured.stranger())


def under_another_name(secured: Secured) -> MqttSettings:
    return secured.settings(mqtt_tls_server_name="elsewhere.example.org")


def with_another_ca(secured: Secured) -> MqttSettings:
    return secured.settings(mqtt_ca_cert=str(secured.stranger() / "ca.pem"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (with_another_ca, "set MQTT_CA_CERT to the CA"),
        (of_a_stranger, r"MQTT_CLIENT_CERT has to be"),
        (under_another_name, "set MQTT_TLS_SERVER_NAME"),
    ],
)
async def test_a_tls_diagnosis_names_the_setting(
    secured: Secured, settings: Callable[[Secured], MqttSettings], named: str
) -> None:
    assert await secured.up()
    assert await diagnose_mqtt_tls(secured.settings()) is None
    assert re.search(named, await diagnose_mqtt_tls(settings(secured)) or "")


async def test_an_unreachable_broker_is_no_tls_error(secured: Secured, stack: LocalStack) -> None:
    assert await diagnose_mqtt_tls(secured.settings(mqtt_port=stack.mqtt_port)) is None
    assert await diagnose_mqtt_tls(secured.settings(mqtt_port=1)) is None


@pytest.mark.parametrize("as_text", [False, True])
async def test_a_bridge_with_an_expired_certificate_does_not_start(
    secured: Secured, kafka: KafkaSettings, *, as_text: bool
) -> None:
    folder = secured.expired()
    given: dict[str, Any] = {}
    if as_text:
        given = {"client_cert_pem": (folder / "client.pem").read_text()}
    config = BridgeConfig(
        secured.settings(folder, **given), MqttTopicSettings.load(), kafka, BridgeSettings(bridge_health_port=0)
    )
    named = "CLIENT_CERT_PEM" if as_text else "MQTT_CLIENT_CERT"
    with pytest.raises(SettingsError, match=rf"^{named} expired at 20.* UTC; renew"):
        await run_bridge(config, asyncio.Event())


async def test_a_bridge_with_the_wrong_ca_exits_with_one_sentence(
    secured: Secured, stack: LocalStack, kafka: KafkaSettings, tmp_path: Path
) -> None:
    assert await secured.up()
    bridges = Bridges(with_another_ca(secured), kafka, tmp_path)
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
    broker = Secured(tmp_path)
    own, shown = tmp_path / "certs" / "bridge", tmp_path / "shown"
    shutil.copytree(own, shown)
    bridges = Bridges(broker.settings(shown, mqtt_ca_cert=str(shown / "ca.pem")), kafka, tmp_path)

    def lost_over(words: str) -> bool:
        return any("no MQTT connection" in said and words in said for said in caplog.messages)

    with broker.running():
        assert await broker.up()
        stop = asyncio.Event()
        bridge = bridges.task(stop)
        assert await until(lambda: bridge.done() or bridges.ready(), 60)
        shutil.copy(broker.stranger() / "ca.pem", shown)
    with broker.running():
        assert await until(lambda: bridge.done() or lost_over("set MQTT_CA_CERT to the CA"), 60)
        shutil.copytree(own, shown, dirs_exist_ok=True)
        assert await until(lambda: bridge.done() or bridges.ready(), 60)
        stop.set()
        await bridge
    gc.collect()
