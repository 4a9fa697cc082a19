"""The HTTP server (uvicorn). It ends the live feed before it stops."""

import os
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.http.protocol import HttpConnection
from runtime.supervision import Supervisor
from schemas.base.errors import GatewayError

_TRUSTED_PROXIES = "127.0.0.1,::1"
"""Whose `X-Forwarded-For` is trusted unless FORWARDED_ALLOW_IPS is set."""


class Server(uvicorn.Server):
    """Closes the feed's endless responses at shutdown, and stops when a vital background task has ended."""

    def __init__(self, app: FastAPI, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpConnection,
                # The API has no WebSockets, and the authentication middleware checks HTTP requests only.
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", _TRUSTED_PROXIES),
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
        """End all feeds, finish the other requests, then stop."""
        feed = getattr(self._app.state, "feed", None)
        if feed is not None:
            feed.close()
        await super().shutdown(sockets)
