"""Connection and uplink with a real MQTT broker and real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aiomqtt
import pytest

from bridge.main import BridgeConfig, run_bridge
from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message
from bridge.uplink.uplink import Uplink
from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from runtime.kafka import producer
from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Route, Routes
from schemas.records.dead_letters import Headers
from schemas.records.topics import HEADER_DUP, HEADER_REASON, HEADER_RETAIN, HEADER_TOPIC
from schemas.settings.blocks import BridgeSettings, KafkaSettings
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from streams.engine.batch_producer import BatchProducer
from tests.support import publishing
from tests.support.kafka_records import read_all

WINDOW = 50


@pytest.fixture
def mqtt(stack: LocalStack) -> MqttSettings:
    """A client id, and so a session, of its own."""
    return MqttSettings(
        mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )


@pytest.fixture
def topic() -> str:
    """A topic that is unique to the test."""
    return f"test/{uuid4()}"


async def publish(mqtt: MqttSettings, topic: str, payloads: list[bytes]) -> None:
    await publishing.publish(mqtt.mqtt_host, mqtt.mqtt_port, [(topic, payload) for payload in payloads])


class Received:
    """A connection and the messages that it received."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.messages: list[Message] = []
        self.connection = Connection(mqtt, lambda _connection, message: self.messages.append(message))

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    async def has(self, count: int) -> bool:
        return await wait_until(lambda: len(self.messages) >= count, timeout=60)


@asynccontextmanager
async def subscribed(mqtt: MqttSettings, topic: str) -> AsyncIterator[Received]:
    received = Received(mqtt)
    async with received.connection:
        assert await received.connection.subscribe([topic]) == []
        yield received


async def test_only_unacknowledged_messages_are_redelivered(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic) as first:
        await publish(mqtt, topic, [b"1", b"2", b"3"])
        assert await first.has(3)
        first.connection.acknowledge(first.messages[:1])
    async with subscribed(mqtt, topic) as second:
        assert await second.has(2)
        await publish(mqtt, topic, [b"last"])
        assert await wait_until(lambda: second.payloads[-1:] == [b"last"], timeout=60)
        assert second.payloads == [b"2", b"3", b"last"]


async def test_messages_for_a_disconnected_bridge_are_queued(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic):
        pass
    await publish(mqtt, topic, [b"while away"])
    async with subscribed(mqtt, topic) as back:
        assert await back.has(1)


async def test_a_paused_connection_reads_nothing_until_resumed(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic) as received:
        received.connection.pause()
        await publish(mqtt, topic, [b"%d" % number for number in range(WINDOW)])
        # The broker acknowledged them, so they could have arrived.
        assert received.messages == []
        received.connection.resume()
        assert await received.has(WINDOW)
        assert received.payloads == [b"%d" % number for number in range(WINDOW)]


async def test_no_more_than_the_window_is_read_while_kafka_is_slow(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    async with producer(kafka, "test") as log, subscribed_uplink(mqtt, topic, kafka, log) as (uplink, connection):
        # Nothing is sent to Kafka: `run` is not started yet.
        await publish(mqtt, topic, [b"%d" % number for number in range(4 * WINDOW)])
        assert await wait_until(lambda: uplink.unacknowledged >= WINDOW, timeout=60)
        assert uplink.unacknowledged == WINDOW
        sending = asyncio.create_task(uplink.run())
        name = kafka.topics("ven.raw.other")
        assert await wait_until(lambda: holds(kafka, name, 4 * WINDOW), timeout=60, every=0.2)
        assert await wait_until(lambda: uplink.unacknowledged == 0, timeout=60)
        sending.cancel()
    values = [record.value for record in await read_all(kafka, name)]
    assert sorted(values, key=lambda value: int(value or b"")) == [b"%d" % number for number in range(4 * WINDOW)]
    assert connection is not None


@asynccontextmanager
async def subscribed_uplink(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings, log: object
) -> AsyncIterator[tuple[Uplink, Connection]]:
    uplink = Uplink(log, kafka.topics, Routes([Route(topic, None)]), WINDOW)
    connection = Connection(mqtt, uplink.receive)
    uplink.attach(connection)
    async with connection:
        await connection.subscribe([topic])
        yield uplink, connection


async def holds(kafka: KafkaSettings, name: str, count: int) -> bool:
    return len(await read_all(kafka, name)) == count


async def test_reconnects_with_a_full_window_keep_the_window(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route(topic, None)]), window=5)
        # Nothing is sent to Kafka: each connection finds the window full, and its messages are redelivered.
        for _ in range(3):
            connection = Connection(mqtt, uplink.receive)
            uplink.attach(connection)
            async with connection:
                assert await connection.subscribe([topic]) == []
                await publish(mqtt, topic, [b"x"] * 20)
                assert await wait_until(lambda: uplink.unacknowledged >= 5, timeout=60)
        # What one connection delivers before it is paused, and not the sum of three connections.
        assert uplink.unacknowledged <= 60


@pytest.mark.parametrize("prefix", ["ven/ack/", "other/"])
async def test_the_longest_topic_and_largest_payload_fit_in_kafka(
    mqtt: MqttSettings, kafka: KafkaSettings, prefix: str
) -> None:
    message = Message(prefix + "v" * (65_535 - len(prefix)), b"x" * 1_000_000, mid=1)
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route("#", None)]), WINDOW)
        uplink.receive(Connection(mqtt, uplink.receive), message)
        sending = asyncio.create_task(uplink.run())
        assert await wait_until(lambda: sending.done() or uplink.unacknowledged == 0, timeout=60)
        assert not sending.done()
        sending.cancel()
        # And so does its dead letter.
        topic = kafka.topics("ven.raw.acks" if prefix == "ven/ack/" else "ven.raw.other")
        (record,) = await read_all(kafka, topic)
        batch_producer = BatchProducer(log, kafka.topics)
        batch_producer.dead_letter(record, Rejection(Reason.TOO_LARGE, "€" * 2000))
        await batch_producer.flush()


async def test_a_too_large_payload_becomes_a_truncated_dead_letter(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    message = Message(topic, b'{"venId":"ven-1","x":"' + b"x" * 1_200_000 + b'"}', mid=1)
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route(topic, None)]), WINDOW)
        uplink.receive(Connection(mqtt, uplink.receive), message)
        sending = asyncio.create_task(uplink.run())
        assert await wait_until(lambda: uplink.unacknowledged == 0, timeout=60)
        sending.cancel()
    (letter,) = await read_all(kafka, kafka.topics("ven.raw.other.dlq"))
    headers: Headers = letter.headers
    assert dict(headers)[HEADER_REASON] == b"too_large"
    assert letter.key == b"ven-1" or letter.key is None
    assert message.payload.startswith(letter.value or b"?")


async def test_unusual_topics_flags_and_empty_payloads_are_unchanged(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    strange = [f"{topic}/{name}" for name in ("..", "a/../b", "100%s", "%(x)s", "{}", "ü/電力/\U0001f50b", "")]
    messages = [Message(name, mid=mid) for mid, name in enumerate(strange)]
    messages[0].retain = messages[1].dup = True
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route("#", None)]), WINDOW)
        for message in messages:
            uplink.receive(Connection(mqtt, uplink.receive), message)
        sending = asyncio.create_task(uplink.run())
        assert await wait_until(lambda: sending.done() or uplink.unacknowledged == 0, timeout=60)
        assert not sending.done()
        sending.cancel()
    records = await read_all(kafka, kafka.topics("ven.raw.other"))
    assert {record.value for record in records} == {b""}
    found = {headers[HEADER_TOPIC].decode(): headers for headers in (dict(record.headers) for record in records)}
    assert set(found) == set(strange)
    assert [found[name][HEADER_RETAIN] for name in strange[:2]] == [b"1", b"0"]
    assert [found[name][HEADER_DUP] for name in strange[:2]] == [b"0", b"1"]


async def test_retained_messages_are_marked(mqtt: MqttSettings, topic: str) -> None:
    async with aiomqtt.Client(mqtt.mqtt_host, mqtt.mqtt_port) as client:
        await client.publish(topic, b"kept", qos=1, retain=True)
        async with subscribed(mqtt, topic) as received:
            assert await received.has(1)
            await client.publish(topic, b"", qos=1, retain=True)
            assert await received.has(2)
    assert [(message.payload, message.retain) for message in received.messages] == [(b"kept", True), (b"", False)]


async def test_requests_are_answered_while_reading_is_paused(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic) as received:
        received.connection.pause()
        assert not received.connection.reading
        await received.connection.unsubscribe([f"{topic}/{number}" for number in range(20)])
        assert await received.connection.subscribe([f"{topic}/{number}" for number in range(20)]) == []
        received.connection.pause()
        assert not received.connection.reading


async def test_a_stopped_bridge_has_published_all_it_received(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    config = BridgeConfig(
        mqtt,
        MqttTopicSettings(mqtt_topics=topic),
        kafka,
        BridgeSettings(bridge_health_port=0),
    )
    stop = asyncio.Event()
    bridge = asyncio.create_task(run_bridge(config, stop))
    name = kafka.topics("ven.raw.other")
    await publish_until_seen(mqtt, topic, kafka, name)
    await publish(mqtt, topic, [b"%d" % number for number in range(500)])
    stop.set()
    await bridge
    in_log = {record.value for record in await read_all(kafka, name)}
    # The broker still has what the bridge had not received.
    async with subscribed(mqtt, topic) as after:
        await publish(mqtt, topic, [b"last"])
        assert await wait_until(lambda: b"last" in after.payloads, timeout=60)
    assert in_log | set(after.payloads) >= {b"%d" % number for number in range(500)}
    # What it published is not redelivered.
    assert not in_log & set(after.payloads)


async def publish_until_seen(mqtt: MqttSettings, topic: str, kafka: KafkaSettings, name: str) -> None:
    """Publish until the bridge is running."""

    async def seen() -> bool:
        await publish(mqtt, topic, [b"hello"])
        return len(await read_all(kafka, name)) > 0

    assert await wait_until(seen, timeout=60, every=0.2)
