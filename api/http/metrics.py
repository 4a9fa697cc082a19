"""The duration of each request as a metric, and the endpoint that Prometheus scrapes."""

import time

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.metrics import CONTENT_TYPE, HTTP_REQUEST_SECONDS, exposition

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# One label for all unknown methods and paths: a client could otherwise create any number of time series.
_OTHER = "other"


class MetricsMiddleware:
    """Measures each request. The label is the route's template, never the path, which contains ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # the response to an exception that passes through here

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            # The router sets the route.
            route = getattr(scope.get("route"), "path_format", _OTHER)
            HTTP_REQUEST_SECONDS.labels(method, route, status).observe(time.perf_counter() - started)


async def show_metrics(_request: Request) -> Response:
    """Return all metrics of this process in the Prometheus format."""
    return Response(exposition(), headers={"content-type": CONTENT_TYPE})
