"""An MQTT connection of the load generator: MQTT 3.1.1 and QoS 1 only, so that it costs little CPU.

The fleet's publisher (paho) costs as much CPU per message as two of the gateway's processes, on the same cores. This
one never reconnects: a lost connection ends the benchmark.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable

from schemas.base.errors import GatewayError

_CONNECT_SECONDS = 10
_WINDOW = 500
_GATHER = 32
_PACKET_IDS = 65_535
_CONNECT, _CONNACK, _PUBLISH_QOS1, _PUBACK = 0x10, 0x20, 0x32, 0x40
_ACK = struct.Struct("!BBH")
"""A PUBACK, and a CONNACK too: type, remaining length (2), packet id or (flags, return code)."""
_ID = struct.Struct("!H").pack


class MqttClient(asyncio.Protocol):
    """Publishes with a limited number of messages in flight; brokers send PUBACKs in order."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, int], bytes] = {}
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._unsent: list[bytes] = []
        self._rest = b""
        self._last_id = 0
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._connected = False
        self._failure: str | None = None
        self._changed = asyncio.Event()

    async def connect(self, client_id: str) -> None:
        """Send CONNECT with a clean session and no keep-alive, and wait for the CONNACK.

        Raises:
            GatewayError: the broker refused or did not answer.
        """
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + _ID(len(name)) + name
        self._write(bytes((_CONNECT,)) + remaining_length(len(body)) + body)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                while not self._connected:
                    await self._change()
        except TimeoutError:
            raise GatewayError("the MQTT broker accepted a connection and did not answer CONNECT") from None

    async def wait_for_capacity(self) -> None:
        """Wait until `send` may be called."""
        while len(self._waiting) >= _WINDOW or self._paused:
            self.flush()
            await self._change()

    def send(self, topic: str, payload: bytes, accepted: Callable[[], None]) -> None:
        """Publish a message; `accepted` is called when its PUBACK arrives."""
        self._last_id = self._last_id % _PACKET_IDS + 1
        key = topic, len(payload)
        head = self._heads.get(key)
        if head is None:
            name = topic.encode()
            length = remaining_length(2 + len(name) + 2 + len(payload))
            head = self._heads[key] = bytes((_PUBLISH_QOS1,)) + length + _ID(len(name)) + name
        self._waiting.append((self._last_id, accepted))
        self._unsent += (head, _ID(self._last_id), payload)
        if len(self._unsent) >= 3 * _GATHER:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered; a full buffer is written without this call."""
        if self._unsent:
            self._write(b"".join(self._unsent))
            self._unsent.clear()

    async def drain(self, seconds: float) -> None:
        """Wait for the PUBACK of every message.

        Raises:
            GatewayError: some are missing after `seconds`.
        """
        self.flush()
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._change()
        except TimeoutError:
            raise GatewayError(f"no PUBACK for {len(self._waiting)} messages after {seconds:g} s") from None

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    async def _change(self) -> None:
        if self._failure is not None:
            raise GatewayError(f"the load generator lost its connection to the MQTT broker: {self._failure}")
        self._changed.clear()
        await self._changed.wait()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self._changed.set()
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._fail(str(exc or "the broker closed it"))

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = False
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        """Handle acknowledgements; without subscriptions the broker sends nothing else."""
        data = self._rest + data
        whole = len(data) - len(data) % _ACK.size
        self._rest = data[whole:]
        for kind, length, word in _ACK.iter_unpack(data[:whole]):
            if kind == _PUBACK and length == _ACK.size - 2 and self._waiting and self._waiting[0][0] == word:
                self._waiting.popleft()[1]()
            elif kind == _CONNACK and word & 0xFF == 0:
                self._connected = True
            else:
                self._fail(f"the broker answered {kind:#x} {word:#06x}")
                return
        self._changed.set()


def remaining_length(length: int) -> bytes:
    """Return a length as an MQTT variable byte integer (MQTT 3.1.1, section 2.2.3)."""
    written = bytearray()
    while True:
        length, low = divmod(length, 128)
        written.append(low | (0x80 if length else 0))
        if not length:
            return bytes(written)
