"""Reads MQTT packets in large chunks from paho's socket and parses each PUBLISH itself.

paho makes four socket reads for each message, creates an object with a lock, and matches the topic against its filters.
At thousands of messages a second that is half of the bridge's work. The state machine, the keep-alive, all other
packets, and packets that a chunk holds only in part stay with paho. This file uses private attributes of paho, as
connection.py does; tests/integration/bridge/mqtt/test_packet_reader.py fails when an upgrade changes them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

_CHUNK_BYTES = 65_536
_MAX_QOS = 1
_PUBLISH = 3
_MAX_LENGTH_BYTES = 4
_CONTINUATION_BIT = 128


@dataclass(slots=True, eq=False)
class Message:
    """One message as received; `received_ms` is in milliseconds since 1970.

    Bytes of the topic that are not UTF-8 are replaced; brokers should not let them pass.
    """

    topic: str
    payload: bytes = b""
    mid: int = 0
    qos: int = 1
    retain: bool = False
    dup: bool = False
    received_ms: int = 0


class PacketReader:
    """Replaces the socket reads of a paho client, and its handling of a PUBLISH."""

    def __init__(self, client: Client, on_message: Callable[[Message], None]) -> None:
        self._client = cast(Any, client)
        self._on_message = on_message
        self._read_socket = self._client._sock_recv  # noqa: SLF001 - paho has no public hook for its reads
        self._chunk = b""
        self._position = 0
        self._client._sock_recv = self._read_chunk  # noqa: SLF001 - see above
        self._client._handle_publish = self._on_publish  # noqa: SLF001 - nor for a PUBLISH before its own handling

    @property
    def has_unread(self) -> bool:
        """Whether the chunk holds bytes that paho has not read yet."""
        return self._position < len(self._chunk)

    def read_publish(self) -> bool:
        """Read the next packet if it is a PUBLISH that the chunk holds completely; otherwise paho has to read it.

        paho stops inside a packet only at the end of a chunk, so the rest of a chunk starts with a packet.
        """
        chunk, start = self._chunk, self._position
        if start >= len(chunk) or chunk[start] >> 4 != _PUBLISH:
            return False
        # Seven bits a byte, lowest first; the eighth bit says whether more bytes follow (section 2.2.3).
        begin, length, bits = start + 1, 0, 0
        for byte in chunk[begin : begin + _MAX_LENGTH_BYTES]:
            begin, length, bits = begin + 1, length | (byte & 127) << bits, bits + 7
            if byte < _CONTINUATION_BIT:
                break
        else:
            return False
        end = begin + length
        message = parse_publish(chunk[start], chunk[begin:end]) if end <= len(chunk) else None
        if message is None:
            return False
        self._position = end
        self._on_message(message)
        return True

    def _read_chunk(self, size: int) -> bytes:
        """Return up to `size` bytes; raises BlockingIOError if there are none, as the socket does."""
        if not self.has_unread:
            if size > _CHUNK_BYTES:
                return bytes(self._read_socket(size))
            self._chunk, self._position = self._read_socket(_CHUNK_BYTES), 0
        begin, self._position = self._position, self._position + size
        return self._chunk[begin : self._position]

    def _on_publish(self) -> MQTTErrorCode:
        packet = self._client._in_packet  # noqa: SLF001 - what paho has read
        message = parse_publish(packet["command"], packet["packet"])
        if message is None:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._on_message(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def parse_publish(first_byte: int, body: bytes | bytearray) -> Message | None:
    """Parse a PUBLISH of MQTT 3.1.1 (section 3.3) from its first byte and what follows the length.

    None if a subscription at QoS 1 cannot receive such a packet; the connection is unusable then.
    """
    qos = first_byte >> 1 & 3
    end = 2 + (body[0] << 8 | body[1]) if len(body) > 1 else len(body) + 1
    begin = end + 2 if qos else end
    if qos > _MAX_QOS or begin > len(body):
        return None
    return Message(
        body[2:end].decode(errors="replace"),
        bytes(body[begin:]),
        body[end] << 8 | body[end + 1] if qos else 0,
        qos,
        bool(first_byte & 1),
        bool(first_byte & 8),
        int(time.time() * 1000),
    )
