"""What the bridge reads itself, past paho: every PUBLISH as it was sent, in pieces of any size."""

import struct
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connection import Connection
from bridge.receiving import Message, parse_publish
from gateway.stack import LocalStack
from gateway.stack.polling import until
from schemas.mqtt_settings import MqttSettings
from tests.support import publishing

SIZES = (0, 1, 127, 128, 16_383, 16_384, 65_535, 65_536, 200_000, 1_000_000)


@given(st.text(max_size=300), st.binary(max_size=300), st.integers(1, 65_535), st.integers(0, 15))
def test_a_publish_is_taken_apart_as_it_was_put_together(topic: str, payload: bytes, mid: int, flags: int) -> None:
    flags &= 0b1011  # at QoS 0 or 1
    qos, name = flags >> 1 & 1, topic.encode("utf-8", "replace")
    body = struct.pack("!H", len(name)) + name + (struct.pack("!H", mid) if qos else b"") + payload
    message = parse_publish(0x30 | flags, body)
    assert message is not None
    assert (message.topic, message.payload) == (name.decode(), payload)
    assert (message.qos, message.mid) == (qos, mid if qos else 0)
    assert (message.retain, message.dup) == (bool(flags & 1), bool(flags & 8))


@given(st.integers(0, 255), st.binary(max_size=40))
def test_no_packet_is_more_than_a_message_or_none(first_byte: int, body: bytes) -> None:
    message = parse_publish(first_byte, body)
    assert message is None or len(message.payload) <= len(body)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\5abc", b"\0\1a", b"\0\1a\0"])
def test_a_packet_that_ends_too_early_is_none(body: bytes) -> None:
    assert parse_publish(0x32, body) is None


@pytest.mark.parametrize("qos", [2, 3])
def test_what_was_never_subscribed_at_is_none(qos: int) -> None:
    assert parse_publish(0x30 | qos << 1, b"\0\1a\0\1x") is None


def test_a_topic_that_is_no_text_is_replaced() -> None:
    message = parse_publish(0x30, b"\0\3a/\xffx")
    assert message is not None
    assert message.topic == "a/\N{REPLACEMENT CHARACTER}"


async def test_payloads_of_any_size_arrive_whole_and_in_order(stack: LocalStack) -> None:
    topic = f"test/{uuid4()}"
    taken: list[Message] = []
    settings = MqttSettings(mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False)
    async with Connection(settings, lambda _connection, message: taken.append(message)) as connection:
        assert await connection.subscribe([topic]) == []
        payloads = [bytes([number]) * size for number in range(3) for size in SIZES]
        await publishing.publish(stack.mqtt_host, stack.mqtt_port, [(topic, payload) for payload in payloads])
        assert await until(lambda: len(taken) == len(payloads), timeout=20)
        assert [message.payload for message in taken] == payloads
        connection.acknowledge(taken)
        await connection.settle()
