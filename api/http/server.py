"""The HTTP server (uvicorn). It ends the live feed before it stops."""

import os
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.http.protocol import HttpConnection

_TRUSTED_PROXIES = "127.0.0.1,::1"
"""Whose `X-Forwarded-For` is trusted unless FORWARDED_ALLOW_IPS is set."""


class Server(uvicorn.Server):
    """Closes the feed's endless responses at shutdown; uvicorn would wait for them."""

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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all feeds, finish the other requests, then stop."""
        feed = getattr(self._app.state, "feed", None)
        if feed is not None:
            feed.close()
        await super().shutdown(sockets)
