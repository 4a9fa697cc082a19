"""A TCP proxy between a process and a server, with a network that fails as the test likes."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Literal

Direction = Literal["to_server", "to_client"]
BOTH: tuple[Direction, Direction] = ("to_server", "to_client")

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing then sends a reset


class Proxy:
    """Listens on `port` of the loopback and passes on to `upstream`."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self._cuts = 0

    async def listen(self) -> None:
        """Accept connections (again)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._start, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones, until `listen`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cuts += 1
        links, self._links = self._links, set()
        for link in links:
            link.reset()

    def mute(self, *directions: Direction) -> None:
        """Let the present connections go dead without a word: what is sent in these directions vanishes, for ever.

        New connections work. It is what a client sees when a firewall forgets its connections.
        """
        for link in self._links:
            for direction in directions or BOTH:
                link.passing[direction].clear()

    async def close(self) -> None:
        """End all."""
        await self.cut()
        if self._passing:
            await asyncio.wait(self._passing)

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._accept(reader, writer, self._cuts))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: int) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        if cuts != self._cuts:  # it was cut meanwhile
            _reset(server_writer)
            _reset(writer)
            return
        link = _Link({"to_server": (reader, server_writer), "to_client": (server_reader, writer)})
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One connection through the proxy, as two streams of bytes."""

    def __init__(self, streams: Mapping[Direction, tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self._streams = streams
        self.passing = {direction: asyncio.Event() for direction in BOTH}
        for passing in self.passing.values():
            passing.set()

    async def run(self) -> None:
        """Pass on until one side closes; a close in a muted direction is not passed on either."""
        pumps = [asyncio.ensure_future(self._pump(direction)) for direction in BOTH]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for _, writer in self._streams.values():
                writer.close()

    def reset(self) -> None:
        for direction, (_, writer) in self._streams.items():
            _reset(writer)
            self.passing[direction].set()

    async def _pump(self, direction: Direction) -> None:
        reader, writer = self._streams[direction]
        passing = self.passing[direction]
        try:
            while data := await reader.read(_CHUNK):
                # Not read any further, so that the sender's window fills up, as it would without acknowledgements.
                await passing.wait()
                writer.write(data)
                await writer.drain()
            await passing.wait()
        except OSError:
            return


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
