"""The HTTP server, with an end to endless answers."""

import os
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.http.protocol import HttpConnection
from runtime.supervision import Supervisor
from schemas.base.errors import GatewayError

_BEHIND = "127.0.0.1,::1"
"""Proxies that are believed whom they ask for, unless FORWARDED_ALLOW_IPS says others."""


class Server(uvicorn.Server):
    """Ends the feed before it waits for answers to be finished, and ends when the app's background work has failed."""

    def __init__(self, app: FastAPI, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpConnection,
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

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to end: also when a task has ended that the API cannot work without."""
        return await super().on_tick(counter) or self.failure is not None

    @property
    def failure(self) -> GatewayError | None:
        """What the process cannot go on without."""
        supervisor: Supervisor | None = getattr(self._app.state, "supervisor", None)
        return None if supervisor is None else supervisor.failure

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        feed = getattr(self._app.state, "feed", None)
        if feed is not None:
            feed.close()
        await super().shutdown(sockets)
