"""What the bridge reads itself, past paho: every PUBLISH as it was sent, in pieces of any size."""

import select
import socket
import struct
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message, Receiving, parse_publish
from gateway.stack import LocalStack
from gateway.stack.polling import until
from schemas.settings.mqtt import MqttSettings
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


def packed(number: int, length: int, qos: int) -> bytes:
    """A PUBLISH on `t`, that tells by its payload which it is."""
    body = b"\0\1t" + (struct.pack("!H", number + 1) if qos else b"") + b"%d-" % number + b"x" * length
    size, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        size += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([0x30 | qos << 1]) + size + body


PING_ANSWERED = b"\xd0\0"


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 300), st.integers(0, 1))), max_size=12),
    st.lists(st.integers(1, 400), max_size=20),
)
def test_wherever_the_pieces_end_every_message_is_taken_once(
    packets: list[tuple[int, int] | None], pieces: list[int]
) -> None:
    stream = b"".join(
        PING_ANSWERED if packet is None else packed(number, *packet) for number, packet in enumerate(packets)
    )
    expected = [b"%d-" % number + b"x" * packet[0] for number, packet in enumerate(packets) if packet is not None]
    taken: list[Message] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        client = Client(CallbackAPIVersion.VERSION2)
        client._sock = ours
        receiving = Receiving(client, taken.append)
        begin = 0
        for size in [*pieces, len(stream)]:
            theirs.sendall(stream[begin : begin + size])
            begin += size
            while receiving.take_whole() or receiving.pending or begun(ours):
                assert client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
        client._sock = None
    assert [message.payload for message in taken] == expected


def begun(end: socket.socket) -> bool:
    """Whether there is something to read."""
    return bool(select.select([end], [], [], 0)[0])


@pytest.mark.parametrize("packet", [b"\x30\xff\xff\xff\xff\1", b"\x34\5\0\1t\0\1", b"\x30\2\0\5"])
def test_what_is_no_message_ends_the_connection_also_behind_one_that_is(packet: bytes) -> None:
    taken: list[Message] = []
    ours, theirs = socket.socketpair()
    with theirs:
        ours.settimeout(0)
        client = Client(CallbackAPIVersion.VERSION2)
        client._sock = ours
        receiving = Receiving(client, taken.append)
        theirs.sendall(packed(0, 5, 1) + packed(1, 5, 1) + packet)
        assert client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert receiving.take_whole()
        assert not receiving.take_whole()
        assert client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS
        assert client.socket() is None
    assert len(taken) == 2


async def test_payloads_of_any_size_arrive_whole_and_in_order(stack: LocalStack) -> None:
    topic = f"test/{uuid4()}"
    taken: list[Message] = []
    mqtt = MqttSettings(mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False)
    async with Connection(mqtt, lambda _connection, message: taken.append(message)) as connection:
        assert await connection.subscribe([topic]) == []
        payloads = [bytes([number]) * size for number in range(3) for size in SIZES]
        await publishing.publish(stack.mqtt_host, stack.mqtt_port, [(topic, payload) for payload in payloads])
        assert await until(lambda: len(taken) == len(payloads), timeout=60)
        assert [message.payload for message in taken] == payloads
        connection.acknowledge(taken)
        await connection.settle()
