"""Connections of clients that ask slowly, or do not read: uvicorn's own would wait for them for ever."""

import asyncio
import os
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

TRANSPORT = "transport"
"""Where a request finds, in its `state`, the transport of its connection: ASGI has no way to close it."""
HEAD_SECONDS = 10.0
"""How long a connection may be without a whole request: anybody could hold all that there can be, key or none."""
UNREAD_SECONDS = 30.0
UNREAD_BYTES = 30_720
"""What a client reads at least in that time of an answer that waits for it: 1 kB a second."""


class HttpConnection(H11Protocol):
    """Ends those that would hold a file, or an answer in memory, for nothing."""

    _waiting: asyncio.TimerHandle | None = None
    _looking: asyncio.TimerHandle | None = None
    _resumed = 0
    # At the last look: which answer waited to be read, if one did, and how much of it was left.
    _unread: tuple[RequestResponseCycle | None, int] | None = None
    _left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
        self._wait_for_a_request()
        self._poll()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_a_request()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._resumed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_no_longer()
        if self._looking is not None:
            self._looking.cancel()

    def _wait_for_a_request(self) -> None:
        """A single byte ends uvicorn's patience with a connection that is kept alive; ours ends with a request."""
        if self._answering:
            self._wait_no_longer()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._end_unless_it_reads)

    def _wait_no_longer(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end_unless_it_reads(self) -> None:
        # It may still read the answer before; whether it does is looked at, too.
        if self.transport.get_write_buffer_size():
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._end_unless_it_reads)
        else:
            self.transport.abort()

    def _poll(self) -> None:
        # Nothing is added to an answer that is complete, nor to one whose writing is paused.
        waits = self.flow.write_paused or not self._answering
        unread, left = (self.cycle, self._resumed) if waits else None, self.transport.get_write_buffer_size()
        if left and unread is not None and unread == self._unread and left > self._left - UNREAD_BYTES:
            self.transport.abort()
            return
        self._unread, self._left = unread, left
        self._looking = self.loop.call_later(UNREAD_SECONDS, self._poll)


def limit_send_buffer(transport: asyncio.WriteTransport, size: int) -> None:
    """Let the kernel hold no more than `size` bytes of what the client has not read; it would take megabytes."""
    connection: socket.socket = transport.get_extra_info("socket")
    # Not by the object at hand: that of uvloop shows options and sets none.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size // 2)  # the kernel doubles it
