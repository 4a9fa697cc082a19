"""Health over HTTP: /health/live answers while the event loop runs, /health/ready tells whether the process can work.

/metrics on the same port is for Prometheus.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from runtime import metrics

_REQUEST_BYTES = 8192
_CONNECTION_SECONDS = 5.0
_JSON = "application/json"

Checks = Mapping[str, Callable[[], bool]]


@asynccontextmanager
async def serve_health(host: str, port: int, checks: Checks, alarms: Checks | None = None) -> AsyncIterator[int]:
    """Serve health inside the context; yields the port, which is a free one if `port` is 0.

    Ready is 200 if every check returns True, else 503; the body has each check. It also lists the alarms that are on.
    They do not change the status: a restart would not help.
    """
    alarms = {} if alarms is None else alarms

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        status, content_type, body = _respond(scope["path"], checks, alarms)
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        # One request for each connection, so that none stays open at the end of the process.
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        date_header=False,
        server_header=False,
        h11_max_incomplete_event_size=_REQUEST_BYTES,
    )
    config.load()
    state = ServerState()
    # Its protocol without uvicorn.Server, which handles the signals of a process.
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(config, state, {}), host, port)
    try:
        with metrics.CHECK.reporting(lambda: _numbers(checks)), metrics.ALARM.reporting(lambda: _numbers(alarms)):
            yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


class _Connection(H11Protocol):
    """Ends after a time, also if the client sends nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's type is narrower
        super().connection_made(transport)
        self.loop.call_later(_CONNECTION_SECONDS, transport.close)


def _numbers(states: Checks) -> dict[tuple[str, ...], float]:
    return {(name,): float(state()) for name, state in states.items()}


def _respond(path: str, checks: Checks, alarms: Checks) -> tuple[int, str, bytes]:
    path = path.rstrip("/")
    if path in ("/health", "/health/live"):
        return 200, _JSON, b'{"status":"ok"}'
    if path == "/health/ready":
        states = {name: check() for name, check in checks.items()}
        ready = all(states.values())
        body = {
            "status": "ok" if ready else "unavailable",
            "checks": states,
            "alarms": [name for name, on in alarms.items() if on()],
        }
        return 200 if ready else 503, _JSON, json.dumps(body).encode()
    if path == "/metrics":
        return 200, metrics.CONTENT_TYPE, metrics.exposition()
    return 404, _JSON, b'{"status":"not found"}'
