"""The HTTP server, with two things that the feed needs: connections that can be cut, and an end to endless answers."""

import asyncio
import os
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

TRANSPORT = "transport"
"""Where a request finds, in its `state`, the transport of its connection."""


class _Connection(H11Protocol):
    """ASGI has no way to close a connection whose client does not read: its answer would wait for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


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
            uvicorn.Config(app, http=_Connection, log_config=None, access_log=False, server_header=False, **options)
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        feed = getattr(self._app.state, "feed", None)
        if feed is not None:
            feed.close()
        await super().shutdown(sockets)
