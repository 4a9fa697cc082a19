"""The HTTP server, with what uvicorn's own lacks: an end to connections, requests and answers that have none."""

import asyncio
import os
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

TRANSPORT = "transport"
"""Where a request finds, in its `state`, the transport of its connection."""
HEAD_SECONDS = 10.0
"""How long a connection may be without a whole request: anybody could hold all that there can be, key or none."""
_BEHIND = "127.0.0.1,::1"
"""Proxies that are believed whom they ask for, unless FORWARDED_ALLOW_IPS says others."""


class _Connection(H11Protocol):
    """ASGI has no way to close a connection whose client does not read: its answer would wait for ever."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
        self._wait_for_a_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_no_longer()

    def _wait_for_a_request(self) -> None:
        """A single byte ends uvicorn's patience with a connection that is kept alive; ours ends with a request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_longer()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _wait_no_longer(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def buffer_little(transport: asyncio.WriteTransport, size: int) -> None:
    """Let the kernel hold no more than `size` bytes of what the client has not read; it would take megabytes."""
    connection: socket.socket = transport.get_extra_info("socket")
    # Not by the object at hand: that of uvloop shows options and sets none.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size // 2)  # the kernel doubles it


class Server(uvicorn.Server):
    """Ends the feed before it waits for answers to be finished."""

    def __init__(self, app: FastAPI, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                # Nothing here speaks it, and the gate looks at requests only.
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", _BEHIND),
                **options,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        feed = getattr(self._app.state, "feed", None)
        if feed is not None:
            feed.close()
        await super().shutdown(sockets)
