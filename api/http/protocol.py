"""Timeouts for slow clients. uvicorn itself would wait for them without a limit."""

import asyncio
import os
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

TRANSPORT = "transport"
"""The key in a request's `state` of its connection's transport: ASGI has no way to close a connection."""
REQUEST_SECONDS = 10.0
"""How long a connection may stay open without a complete request head. Anybody could otherwise exhaust them."""
UNREAD_SECONDS = 30.0
UNREAD_BYTES = 30_720
"""What a client has to read in UNREAD_SECONDS while a response waits for it: about 1 kB a second."""


class HttpConnection(H11Protocol):
    """Closes the connection of a client that sends no request, or does not read its response."""

    _request_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _resumed = 0
    # At the last check: the response that waited for the client, if any, and how many of its bytes were left.
    _unread: tuple[RequestResponseCycle | None, int] | None = None
    _left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's is narrower
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
        self._update_request_timer()
        self._check_reading()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_request_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._resumed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_request_timer()
        if self._read_timer is not None:
            self._read_timer.cancel()

    def _update_request_timer(self) -> None:
        """Run the timer until a request is complete; a single byte already stops uvicorn's keep-alive timer."""
        if self._responding:
            self._stop_request_timer()
        elif self._request_timer is None:
            self._request_timer = self.loop.call_later(REQUEST_SECONDS, self._request_timed_out)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    @property
    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _request_timed_out(self) -> None:
        # The client may still be reading the previous response; `_check_reading` watches that.
        if self.transport.get_write_buffer_size():
            self._request_timer = self.loop.call_later(REQUEST_SECONDS, self._request_timed_out)
        else:
            self.transport.abort()

    def _check_reading(self) -> None:
        # The buffer can only shrink while a response is complete, or while its writing is paused.
        waits = self.flow.write_paused or not self._responding
        unread, left = (self.cycle, self._resumed) if waits else None, self.transport.get_write_buffer_size()
        if left and unread is not None and unread == self._unread and left > self._left - UNREAD_BYTES:
            self.transport.abort()
            return
        self._unread, self._left = unread, left
        self._read_timer = self.loop.call_later(UNREAD_SECONDS, self._check_reading)


def limit_send_buffer(transport: asyncio.WriteTransport, size: int) -> None:
    """Limit what the kernel buffers for a client to `size` bytes; by default it buffers megabytes."""
    connection: socket.socket = transport.get_extra_info("socket")
    # uvloop's socket object cannot set options, so a duplicate of the descriptor does.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size // 2)  # the kernel doubles it
