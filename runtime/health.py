"""A process's health over HTTP: /health/live answers while the loop runs, /health/ready while the work can go on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

_REQUEST_BYTES = 8192

Checks = Mapping[str, Callable[[], bool]]


@asynccontextmanager
async def serve_health(host: str, port: int, checks: Checks) -> AsyncIterator[int]:
    """Serve health while the context lasts; yields the port, which is a free one when 0 was asked for.

    Ready is 200 when every check returns True, else 503; the body names each check and its state.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                request = await reader.readuntil(b"\r\n\r\n")
            status, body = _respond(request.split(b" ", 2)[1].decode("latin-1"), checks)
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (TimeoutError, OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or did not speak HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=_REQUEST_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _respond(path: str, checks: Checks) -> tuple[str, bytes]:
    path = path.partition("?")[0].rstrip("/")
    if path in ("/health", "/health/live"):
        return "200 OK", b'{"status":"ok"}'
    if path == "/health/ready":
        states = {name: check() for name, check in checks.items()}
        ready = all(states.values())
        body = {"status": "ok" if ready else "unavailable", "checks": states}
        return ("200 OK" if ready else "503 Service Unavailable"), json.dumps(body).encode()
    return "404 Not Found", b'{"status":"not found"}'
