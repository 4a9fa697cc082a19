"""What the API counts, and where Prometheus collects it."""

import time

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.metrics import CONTENT_TYPE, HTTP_REQUEST_SECONDS, exposition

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# For what is not of the REST API, and for what anybody may make up: each name would be one more series for ever.
_OTHER = "other"


class MetricsMiddleware:
    """Measures each request, by the route's template and never by its path, which holds ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # what is answered for an exception that comes through here

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            # The router has put it there.
            route = getattr(scope.get("route"), "path_format", _OTHER)
            HTTP_REQUEST_SECONDS.labels(method, route, status).observe(time.perf_counter() - started)


async def show_metrics(_request: Request) -> Response:
    """Answer with all metrics of this process."""
    return Response(exposition(), headers={"content-type": CONTENT_TYPE})
