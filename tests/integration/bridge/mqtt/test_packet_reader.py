"""The packet reader returns every PUBLISH as it was sent, in chunks of any size."""

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
from bridge.mqtt.packet_reader import Message, PacketReader, parse_publish
from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from schemas.settings.mqtt import MqttSettings
from tests.support import publishing

SIZES = (0, 1, 127, 128, 16_383, 16_384, 65_535, 65_536, 200_000, 1_000_000)


@given(st.text(max_size=300), st.binary(max_size=300), st.integers(1, 65_535), st.integers(0, 15))
def test_parsing_returns_what_was_packed(topic: str, payload: bytes, mid: int, flags: int) -> None:
    flags &= 0b1011  # at QoS 0 or 1
    qos, name = flags >> 1 & 1, topic.encode("utf-8", "replace")
    body = struct.pack("!H", len(name)) + name + (struct.pack("!H", mid) if qos else b"") + payload
    message = parse_publish(0x30 | flags, body)
    assert message is not None
    assert (message.topic, message.payload) == (name.decode(), payload)
    assert (message.qos, message.mid) == (qos, mid if qos else 0)
    assert (message.retain, message.dup) == (bool(flags & 1), bool(flags & 8))


@given(st.integers(0, 255), st.binary(max_size=40))
def test_any_packet_is_a_message_or_none(first_byte: int, body: bytes) -> None:
    message = parse_publish(first_byte, body)
    assert message is None or len(message.payload) <= len(body)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\5abc", b"\0\1a", b"\0\1a\0"])
def test_a_truncated_packet_is_none(body: bytes) -> None:
    assert parse_publish(0x32, body) is None


@pytest.mark.parametrize("qos", [2, 3])
def test_a_qos_above_1_is_none(qos: int) -> None:
    assert parse_publish(0x30 | qos << 1, b"\0\1a\0\1x") is None


def test_bytes_that_are_not_utf8_are_replaced_in_topics() -> None:
    message = parse_publish(0x30, b"\0\3a/\xffx")
    assert message is not None
    assert message.topic == "a/\N{REPLACEMENT CHARACTER}"


def packed(number: int, length: int, qos: int) -> bytes:
    """A PUBLISH on `t` with its number in the payload."""
    body = b"\0\1t" + (struct.pack("!H", number + 1) if qos else b"") + b"%d-" % number + b"x" * length
    size, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        size += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([0x30 | qos << 1]) + size + body


PINGRESP = b"\xd0\0"


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 300), st.integers(0, 1))), max_size=12),
    st.lists(st.integers(1, 400), max_size=20),
)
def test_every_message_is_read_once_wherever_chunks_end(
    packets: list[tuple[int, int] | None], chunks: list[int]
) -> None:
    stream = b"".join(PINGRESP if packet is None else packed(number, *packet) for number, packet in enumerate(packets))
    expected = [b"%d-" % number + b"x" * packet[0] for number, packet in enumerate(packets) if packet is not None]
    received: list[Message] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        client = Client(CallbackAPIVersion.VERSION2)
        client._sock = ours
        reader = PacketReader(client, received.append)
        begin = 0
        for size in [*chunks, len(stream)]:
            theirs.sendall(stream[begin : begin + size])
            begin += size
            while reader.read_publish() or reader.has_unread or is_readable(ours):
                assert client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
        client._sock = None
    assert [message.payload for message in received] == expected


def is_readable(end: socket.socket) -> bool:
    return bool(select.select([end], [], [], 0)[0])


@pytest.mark.parametrize("packet", [b"\x30\xff\xff\xff\xff\1", b"\x34\5\0\1t\0\1", b"\x30\2\0\5"])
def test_an_invalid_packet_ends_the_connection(packet: bytes) -> None:
    received: list[Message] = []
    ours, theirs = socket.socketpair()
    with theirs:
        ours.settimeout(0)
        client = Client(CallbackAPIVersion.VERSION2)
        client._sock = ours
        reader = PacketReader(client, received.append)
        theirs.sendall(packed(0, 5, 1) + packed(1, 5, 1) + packet)
        assert client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert reader.read_publish()
        assert not reader.read_publish()
        assert client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS
        assert client.socket() is None
    assert len(received) == 2


async def test_payloads_of_any_size_arrive_complete_and_in_order(stack: LocalStack) -> None:
    topic = f"test/{uuid4()}"
    received: list[Message] = []
    mqtt = MqttSettings(mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False)
    async with Connection(mqtt, lambda _connection, message: received.append(message)) as connection:
        assert await connection.subscribe([topic]) == []
        payloads = [bytes([number]) * size for number in range(3) for size in SIZES]
        await publishing.publish(stack.mqtt_host, stack.mqtt_port, [(topic, payload) for payload in payloads])
        assert await wait_until(lambda: len(received) == len(payloads), timeout=60)
        assert [message.payload for message in received] == payloads
        connection.acknowledge(received)
        await connection.flush()
