"""A minimal MQTT 3.1.1 broker for the tests of publishers; it sends PUBACKs when the test says so."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.fleet import FleetOptions


class FakeBroker:
    """As much of an MQTT 3.1.1 broker as a publisher sees; it gives PUBACKs when the test says so."""

    def __init__(self, *, connack: int = 0) -> None:
        self.connack = connack
        self.acknowledging = True
        self.published: list[tuple[str, bytes]] = []
        self.repeated = 0
        self.connections = 0
        self.port = 0
        self._unacknowledged: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._arrived = asyncio.Condition()

    async def received(self, count: int) -> None:
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.published) >= count)

    def documents(self, topic: str = "") -> list[dict[str, Any]]:
        """The payloads that arrived on topics that begin like this, decoded."""
        return [json.loads(payload) for name, payload in self.published if name.startswith(topic)]

    def acknowledge(self, count: int | None = None) -> None:
        due, self._unacknowledged = self._unacknowledged[:count], self._unacknowledged[len(self._unacknowledged) :]
        for writer, mid in due:
            writer.write(b"\x40\x02" + mid)

    def cut(self) -> None:
        """Break all connections; whatever had no PUBACK stays without."""
        self._unacknowledged.clear()
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeBroker"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while True:
                head = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await self._length(reader))
                if head >> 4 == 1:
                    writer.write(bytes([0x20, 2, 0, self.connack]))
                elif head >> 4 == 8:
                    writer.write(b"\x90\x03" + body[:2] + b"\x01")
                elif head >> 4 == 3:
                    await self._publish(head, body, writer)
                else:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _length(self, reader: asyncio.StreamReader) -> int:
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return length

    async def _publish(self, head: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack_from("!H", body)
        topic, mid, payload = body[2 : 2 + size].decode(), body[2 + size : 4 + size], body[4 + size :]
        self.repeated += head >> 3 & 1
        self.published.append((topic, payload))
        self._unacknowledged.append((writer, mid))
        if self.acknowledging:
            self.acknowledge()
        async with self._arrived:
            self._arrived.notify_all()


def fast_options(broker: FakeBroker, **changes: Any) -> FleetOptions:
    return replace(FleetOptions(host="127.0.0.1", port=broker.port, vens=7, rate=5000.0), **changes)
