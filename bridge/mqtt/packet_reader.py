"""How messages come out of paho's socket: read in large pieces, and a PUBLISH taken apart here.

paho makes four reads of each message, an object with a lock in it, and a walk through its filters; for a bridge that
takes thousands a second this is half of all its work. Its state machine, its keep-alive, all other packets, and what
lies in two pieces stay paho's. Like connection.py this reaches for what is not public:
tests/integration/bridge/mqtt/test_packet_reader.py fails where an upgrade changes it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

_PIECE_BYTES = 65_536
_MOST_QOS = 1
_PUBLISH = 3
_LENGTH_BYTES = 4
_LAST_BELOW = 128


@dataclass(slots=True, eq=False)
class Message:
    """One message as it arrived; `received_ms` is in Unix milliseconds.

    What is no UTF-8 in the topic, which brokers should not let pass, is replaced.
    """

    topic: str
    payload: bytes = b""
    mid: int = 0
    qos: int = 1
    retain: bool = False
    dup: bool = False
    received_ms: int = 0


class Receiving:
    """Takes the place of paho's reading and of what it does with a PUBLISH."""

    def __init__(self, client: Client, take: Callable[[Message], None]) -> None:
        self._client = cast(Any, client)
        self._take = take
        self._receive = self._client._sock_recv  # noqa: SLF001
        self._piece = b""
        self._read_to = 0
        self._client._sock_recv = self._part  # noqa: SLF001
        self._client._handle_publish = self._on_publish  # noqa: SLF001

    @property
    def pending(self) -> bool:
        """Whether something was read from the socket that paho has not asked for yet."""
        return self._read_to < len(self._piece)

    def take_whole(self) -> bool:
        """Take the next packet, where it is a PUBLISH that lies whole in what was read; else it is paho's.

        paho leaves off inside a packet only where the piece ends, so what is left of a piece begins with a packet.
        """
        piece, at = self._piece, self._read_to
        if at >= len(piece) or piece[at] >> 4 != _PUBLISH:
            return False
        # Seven bits a byte, the lowest first, and one that tells whether there are more (section 2.2.3).
        begin, length, bits = at + 1, 0, 0
        for byte in piece[begin : begin + _LENGTH_BYTES]:
            begin, length, bits = begin + 1, length | (byte & 127) << bits, bits + 7
            if byte < _LAST_BELOW:
                break
        else:
            return False
        end = begin + length
        message = parse_publish(piece[at], piece[begin:end]) if end <= len(piece) else None
        if message is None:
            return False
        self._read_to = end
        self._take(message)
        return True

    def _part(self, size: int) -> bytes:
        """Return up to `size` bytes; raises BlockingIOError where there are none, as the socket does."""
        if not self.pending:
            if size > _PIECE_BYTES:
                return bytes(self._receive(size))
            self._piece, self._read_to = self._receive(_PIECE_BYTES), 0
        begin, self._read_to = self._read_to, self._read_to + size
        return self._piece[begin : self._read_to]

    def _on_publish(self) -> MQTTErrorCode:
        packet = self._client._in_packet  # noqa: SLF001
        message = parse_publish(packet["command"], packet["packet"])
        if message is None:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._take(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def parse_publish(first_byte: int, body: bytes | bytearray) -> Message | None:
    """Take a PUBLISH of MQTT 3.1.1 apart (section 3.3): its first byte, and what follows the length.

    None where it is none that a subscription at QoS 1 may bring: then the connection is of no use.
    """
    qos = first_byte >> 1 & 3
    end = 2 + (body[0] << 8 | body[1]) if len(body) > 1 else len(body) + 1
    begin = end + 2 if qos else end
    if qos > _MOST_QOS or begin > len(body):
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
