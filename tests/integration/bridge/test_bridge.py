"""The bridge's ends against a real MQTT broker and a real log."""

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
from gateway.stack.polling import until
from runtime.kafka import producer
from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Route, Routes
from schemas.records.dead_letters import Headers
from schemas.records.topics import HEADER_DUP, HEADER_REASON, HEADER_RETAIN, HEADER_TOPIC
from schemas.settings.blocks import BridgeSettings, KafkaSettings
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from streams.engine.batch_producer import BatchProducer
from tests.support import publishing
from tests.support.log import read_all

WINDOW = 50


@pytest.fixture
def mqtt(stack: LocalStack) -> MqttSettings:
    """A client of its own, with a session of its own."""
    return MqttSettings(
        mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"test/{uuid4()}"


async def publish(mqtt: MqttSettings, topic: str, payloads: list[bytes]) -> None:
    await publishing.publish(mqtt.mqtt_host, mqtt.mqtt_port, [(topic, payload) for payload in payloads])


class Taken:
    """A connection with what came through it."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.messages: list[Message] = []
        self.connection = Connection(mqtt, lambda _connection, message: self.messages.append(message))

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    async def has(self, count: int) -> bool:
        return await until(lambda: len(self.messages) >= count, timeout=60)


@asynccontextmanager
async def subscribed(mqtt: MqttSettings, topic: str) -> AsyncIterator[Taken]:
    taken = Taken(mqtt)
    async with taken.connection:
        assert await taken.connection.subscribe([topic]) == []
        yield taken


async def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic) as first:
        await publish(mqtt, topic, [b"1", b"2", b"3"])
        assert await first.has(3)
        first.connection.acknowledge(first.messages[:1])
    async with subscribed(mqtt, topic) as second:
        assert await second.has(2)
        await publish(mqtt, topic, [b"last"])
        assert await until(lambda: second.payloads[-1:] == [b"last"], timeout=60)
        assert second.payloads == [b"2", b"3", b"last"]


async def test_messages_for_an_absent_bridge_are_kept(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic):
        pass
    await publish(mqtt, topic, [b"while away"])
    async with subscribed(mqtt, topic) as back:
        assert await back.has(1)


async def test_a_paused_connection_reads_nothing_and_a_resumed_one_all(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic) as taken:
        taken.connection.pause()
        await publish(mqtt, topic, [b"%d" % number for number in range(WINDOW)])
        # Another client has received the same in the meantime: they could have come.
        assert taken.messages == []
        taken.connection.resume()
        assert await taken.has(WINDOW)
        assert taken.payloads == [b"%d" % number for number in range(WINDOW)]


async def test_a_bridge_takes_no_more_than_its_window_while_the_log_is_silent(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    async with producer(kafka, "test") as log, subscribed_uplink(mqtt, topic, kafka, log) as (uplink, connection):
        # Nobody sends: `run` is not started yet.
        await publish(mqtt, topic, [b"%d" % number for number in range(4 * WINDOW)])
        assert await until(lambda: uplink.outstanding >= WINDOW, timeout=60)
        assert uplink.outstanding == WINDOW
        sending = asyncio.create_task(uplink.run())
        name = kafka.topics("ven.raw.other")
        assert await until(lambda: holds(kafka, name, 4 * WINDOW), timeout=60, every=0.2)
        assert await until(lambda: uplink.outstanding == 0, timeout=60)
        sending.cancel()
    values = [record.value for record in await read_all(kafka, name)]
    assert sorted(values, key=lambda value: int(value or b"")) == [b"%d" % number for number in range(4 * WINDOW)]
    assert connection is not None


@asynccontextmanager
async def subscribed_uplink(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings, log: object
) -> AsyncIterator[tuple[Uplink, Connection]]:
    uplink = Uplink(log, kafka.topics, Routes([Route(topic, None)]), WINDOW)
    connection = Connection(mqtt, uplink.take)
    uplink.use(connection)
    async with connection:
        await connection.subscribe([topic])
        yield uplink, connection


async def holds(kafka: KafkaSettings, name: str, count: int) -> bool:
    return len(await read_all(kafka, name)) == count


async def test_a_bridge_with_a_full_window_connects_again_and_holds_no_more(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route(topic, None)]), window=5)
        # Nobody sends; each connection finds the window full and its messages sent again.
        for _ in range(3):
            connection = Connection(mqtt, uplink.take)
            uplink.use(connection)
            async with connection:
                assert await connection.subscribe([topic]) == []
                await publish(mqtt, topic, [b"x"] * 20)
                assert await until(lambda: uplink.outstanding >= 5, timeout=60)
        # What the broker sends together before it reads the next acknowledgement, and not that of three connections.
        assert uplink.outstanding <= 60


@pytest.mark.parametrize("prefix", ["ven/ack/", "other/"])
async def test_the_longest_topic_with_the_largest_payload_fits_in_the_log(
    mqtt: MqttSettings, kafka: KafkaSettings, prefix: str
) -> None:
    message = Message(prefix + "v" * (65_535 - len(prefix)), b"x" * 1_000_000, mid=1)
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route("#", None)]), WINDOW)
        uplink.take(Connection(mqtt, uplink.take), message)
        sending = asyncio.create_task(uplink.run())
        assert await until(lambda: sending.done() or uplink.outstanding == 0, timeout=60)
        assert not sending.done()
        sending.cancel()
        # And so does the dead letter that comes of it.
        topic = kafka.topics("ven.raw.acks" if prefix == "ven/ack/" else "ven.raw.other")
        (record,) = await read_all(kafka, topic)
        batch_producer = BatchProducer(log, kafka.topics)
        batch_producer.dead_letter(record, Rejection(Reason.TOO_LARGE, "€" * 2000))
        await batch_producer.flush()


async def test_what_the_log_cannot_hold_is_kept_in_part(mqtt: MqttSettings, topic: str, kafka: KafkaSettings) -> None:
    message = Message(topic, b'{"venId":"ven-1","x":"' + b"x" * 1_200_000 + b'"}', mid=1)
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route(topic, None)]), WINDOW)
        uplink.take(Connection(mqtt, uplink.take), message)
        sending = asyncio.create_task(uplink.run())
        assert await until(lambda: uplink.outstanding == 0, timeout=60)
        sending.cancel()
    (letter,) = await read_all(kafka, kafka.topics("ven.raw.other.dlq"))
    headers: Headers = letter.headers
    assert dict(headers)[HEADER_REASON] == b"too_large"
    assert letter.key == b"ven-1" or letter.key is None
    assert message.payload.startswith(letter.value or b"?")


async def test_strange_topics_flags_and_empty_payloads_pass_untouched(
    mqtt: MqttSettings, topic: str, kafka: KafkaSettings
) -> None:
    strange = [f"{topic}/{name}" for name in ("..", "a/../b", "100%s", "%(x)s", "{}", "ü/電力/\U0001f50b", "")]
    messages = [Message(name, mid=mid) for mid, name in enumerate(strange)]
    messages[0].retain = messages[1].dup = True
    async with producer(kafka, "test") as log:
        uplink = Uplink(log, kafka.topics, Routes([Route("#", None)]), WINDOW)
        for message in messages:
            uplink.take(Connection(mqtt, uplink.take), message)
        sending = asyncio.create_task(uplink.run())
        assert await until(lambda: sending.done() or uplink.outstanding == 0, timeout=60)
        assert not sending.done()
        sending.cancel()
    records = await read_all(kafka, kafka.topics("ven.raw.other"))
    assert {record.value for record in records} == {b""}
    found = {headers[HEADER_TOPIC].decode(): headers for headers in (dict(record.headers) for record in records)}
    assert set(found) == set(strange)
    assert [found[name][HEADER_RETAIN] for name in strange[:2]] == [b"1", b"0"]
    assert [found[name][HEADER_DUP] for name in strange[:2]] == [b"0", b"1"]


async def test_what_was_retained_for_a_new_subscriber_is_told_apart(mqtt: MqttSettings, topic: str) -> None:
    async with aiomqtt.Client(mqtt.mqtt_host, mqtt.mqtt_port) as client:
        await client.publish(topic, b"kept", qos=1, retain=True)
        async with subscribed(mqtt, topic) as taken:
            assert await taken.has(1)
            await client.publish(topic, b"", qos=1, retain=True)
            assert await taken.has(2)
    assert [(message.payload, message.retain) for message in taken.messages] == [(b"kept", True), (b"", False)]


async def test_a_request_is_answered_also_while_the_window_is_full(mqtt: MqttSettings, topic: str) -> None:
    async with subscribed(mqtt, topic) as taken:
        taken.connection.pause()
        assert not taken.connection.reading
        await taken.connection.unsubscribe([f"{topic}/{number}" for number in range(20)])
        assert await taken.connection.subscribe([f"{topic}/{number}" for number in range(20)]) == []
        taken.connection.pause()
        assert not taken.connection.reading


async def test_a_stopped_bridge_has_handed_on_all_that_it_took(
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
    # What the bridge had not taken is still the broker's.
    async with subscribed(mqtt, topic) as after:
        await publish(mqtt, topic, [b"last"])
        assert await until(lambda: b"last" in after.payloads, timeout=60)
    assert in_log | set(after.payloads) >= {b"%d" % number for number in range(500)}
    # And what it took and handed on does not come again.
    assert not in_log & set(after.payloads)


async def publish_until_seen(mqtt: MqttSettings, topic: str, kafka: KafkaSettings, name: str) -> None:
    """The bridge is there when what is published arrives."""

    async def seen() -> bool:
        await publish(mqtt, topic, [b"hello"])
        return len(await read_all(kafka, name)) > 0

    assert await until(seen, timeout=60, every=0.2)
