"""The API on a real socket, in the test's own process."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import make_app
from api.config import ApiConfig
from api.http.server import Server
from gateway.stack.polling import wait_until
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings

NOBODY = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
"""A log where nobody listens."""


@asynccontextmanager
async def api(
    database: DatabaseSettings, kafka: KafkaSettings = NOBODY, access: AccessSettings | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API inside; yields a client of it."""
    async with serving(database, kafka, access, **settings) as (client, _app):
        yield client


@asynccontextmanager
async def serving(
    database: DatabaseSettings, kafka: KafkaSettings = NOBODY, access: AccessSettings | None = None, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    """Serve the API inside; yields a client of it, and the app for a look behind it."""
    app = make_app(ApiConfig(ApiSettings(**settings), database, kafka, access or AccessSettings()))
    server = Server(app, host="127.0.0.1", port=0, lifespan="on")
    serving = asyncio.create_task(server.serve())
    assert await wait_until(lambda: server.started or serving.done(), 60)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
            yield client, app
    finally:
        server.should_exit = True
        await serving


@contextmanager
def api_in_a_thread(database: DatabaseSettings, kafka: KafkaSettings = NOBODY) -> Iterator[str]:
    """Serve the API inside, beside tests that do not await; yields its address."""
    app = make_app(ApiConfig(ApiSettings(), database, kafka))
    server = Server(app, host="127.0.0.1", port=0, lifespan="on")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is an RFC 9457 problem document, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "instance"} <= body.keys()
    assert "Traceback" not in answer.text
    return body
