"""A process's health over HTTP: /health/live answers while the loop runs, /health/ready while the work can go on.

Beside it, at /metrics, is what Prometheus collects.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from runtime import metrics

_REQUEST_BYTES = 8192
_JSON = "application/json"

Checks = Mapping[str, Callable[[], bool]]


@asynccontextmanager
async def serve_health(host: str, port: int, checks: Checks, alarms: Checks | None = None) -> AsyncIterator[int]:
    """Serve health while the context lasts; yields the port, which is a free one when 0 was asked for.

    Ready is 200 when every check returns True, else 503; the body names each check and its state. It lists the alarms
    that are on, too, but they change nothing about being ready: a restart would not help against what they tell of.
    """
    alarms = {} if alarms is None else alarms

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                request = await reader.readuntil(b"\r\n\r\n")
            status, content_type, body = _respond(request.split(b" ", 2)[1].decode("latin-1"), checks, alarms)
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (TimeoutError, OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or did not speak HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=_REQUEST_BYTES)
    with metrics.CHECK.reporting(lambda: _numbers(checks)), metrics.ALARM.reporting(lambda: _numbers(alarms)):
        async with server:
            yield server.sockets[0].getsockname()[1]


def _numbers(states: Checks) -> dict[tuple[str, ...], float]:
    return {(name,): float(state()) for name, state in states.items()}


def _respond(path: str, checks: Checks, alarms: Checks) -> tuple[str, str, bytes]:
    path = path.partition("?")[0].rstrip("/")
    if path in ("/health", "/health/live"):
        return "200 OK", _JSON, b'{"status":"ok"}'
    if path == "/health/ready":
        states = {name: check() for name, check in checks.items()}
        ready = all(states.values())
        body = {
            "status": "ok" if ready else "unavailable",
            "checks": states,
            "alarms": [name for name, on in alarms.items() if on()],
        }
        return ("200 OK" if ready else "503 Service Unavailable"), _JSON, json.dumps(body).encode()
    if path == "/metrics":
        return "200 OK", metrics.CONTENT_TYPE, metrics.exposition()
    return "404 Not Found", _JSON, b'{"status":"not found"}'
