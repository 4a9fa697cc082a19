"""The ACL of deploy/mosquitto: a VEN publishes and receives only as itself."""

import asyncio
import json
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt

from bridge.mqtt.connection import Connection
from gateway.stack.polling import wait_until
from schemas.mqtt.routing import Kind
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.bridges import Bridges
from tests.support.kafka_records import read_all
from tests.support.mosquitto import needs_mosquitto
from tests.support.pipeline import pipeline
from tests.support.tls_broker import TlsBroker, tls_broker

__all__ = ["tls_broker"]
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
    tls_broker: TlsBroker, kafka: KafkaSettings, database: DatabaseSettings, tmp_path: Path
) -> None:
    assert await tls_broker.up()
    good, bad = tls_broker.ven("ven-good"), tls_broker.ven("ven-bad")
    bridges = Bridges(tls_broker.settings(), kafka, tmp_path)
    ack = json.dumps({"op": "event", "status": "accepted", "event_id": "evt-1", "correlationId": "c-1"}).encode()
    forged = sample("ven-good", 66.0)
    async with pipeline(kafka, database) as running:
        async with bridges.running(**TOPICS):
            async with tls_broker.client(good) as client:
                await client.publish("ven/telemetry/ven-good", sample("ven-good", 1.0), qos=1)
            # It connects with the bridge's client id and does not get the bridge's session.
            async with tls_broker.client(bad, identifier=bridges.mqtt.mqtt_client_id) as client:
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
                # Its own topic, with the id of another VEN in the payload.
                await client.publish("ven/telemetry/ven-bad", forged, qos=1)
                await client.publish("ven/telemetry/ven-bad", sample("ven-bad", LAST), qos=1)
            assert await wait_until(lambda: _is_in_kafka(kafka, LAST), 60, every=0.2)
            assert await bridges.ready()
        await running.settle()
        rows = await running.rows.fetch("SELECT ven_id, used_power_kw FROM telemetry_readings ORDER BY used_power_kw")
        assert [tuple(row) for row in rows] == [("ven-good", 1.0), ("ven-bad", 2.0), ("ven-bad", LAST)]
        assert await running.rows.fetchval("SELECT count(*) FROM ven_acks") == 0
        # The ACL stops all but one forgery; the topic gives that one away.
        assert [(row["reason"], row["ven_id"]) for row in await running.index()] == [("id_mismatch", "ven-bad")]
    for kind in set(Kind) - {Kind.METERING}:
        assert await read_all(kafka, kafka.topics.raw(kind)) == []


async def _is_in_kafka(kafka: KafkaSettings, power: float) -> bool:
    records = await read_all(kafka, kafka.topics.raw(Kind.METERING))
    return any(json.loads(record.value)["usedPowerKw"] == power for record in records)


async def test_a_ven_receives_only_its_own_commands(tls_broker: TlsBroker) -> None:
    assert await tls_broker.up()
    received: dict[str, list[str]] = {}
    async with (
        tls_broker.client(tls_broker.ven("ven-good")) as good,
        tls_broker.client(tls_broker.ven("ven-bad")) as bad,
    ):
        for client in (good, bad):
            for name in ("ven/cmd/+", "ven/cmd/ven-good", "#"):
                await client.subscribe(name, qos=1)
        bridge = Connection(tls_broker.settings(), lambda *_: None)
        async with bridge:
            for ven_id in ("ven-good", "ven-bad"):
                written = asyncio.Event()
                assert bridge.publish(f"ven/cmd/{ven_id}", b"{}", written.set)
                await asyncio.wait_for(written.wait(), 60)
        for ven_id, client in (("ven-good", good), ("ven-bad", bad)):
            # The broker delivers queued messages before it answers a request.
            await client.subscribe("nothing", qos=1)
            received[ven_id] = [str(message.topic) for message in _received(client)]
    assert set(received["ven-good"]) == {"ven/cmd/ven-good"}
    assert set(received["ven-bad"]) == {"ven/cmd/ven-bad"}


async def test_a_last_will_reaches_only_the_vens_own_topics(tls_broker: TlsBroker) -> None:
    assert await tls_broker.up()
    shown = tls_broker.ven("ven-bad")
    async with tls_broker.client(tls_broker.folder / "certs" / "bridge") as listening:
        await listening.subscribe("ven/#", qos=1)
        for topic in ("ven/telemetry/ven-good", "ven/ack/ven-good", "ven/cmd/ven-bad", "ven/telemetry/ven-bad"):
            will = aiomqtt.Will(topic, b"will", qos=1)
            with suppress(aiomqtt.MqttError):
                async with tls_broker.client(shown, will=will) as client:
                    connection: Any = client._client.socket()
                    connection.shutdown(socket.SHUT_RDWR)
                    await anext(client.messages)
        async with asyncio.timeout(60):
            assert str((await anext(listening.messages)).topic) == "ven/telemetry/ven-bad"


def _received(client: Any) -> list[Any]:
    queue = client._queue
    return [queue.get_nowait() for _ in range(queue.qsize())]
