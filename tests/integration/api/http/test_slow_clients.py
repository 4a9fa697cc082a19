"""Clients that take their time: connections and bodies that are never whole end, key or none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import fastapi_offline
import httpx
import pytest

from api.http.protocol import HttpConnection
from schemas.settings.blocks import DatabaseSettings
from tests.support.rest import api

NOWHERE = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nowhere")
HEAD = b"POST /api/vens HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"


@asynccontextmanager
async def connected(client: httpx.AsyncClient) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def drip(writer: asyncio.StreamWriter, what: bytes) -> None:
    """Send a byte now and then, for ever."""
    while not writer.is_closing():
        writer.write(what)
        await asyncio.sleep(0.02)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, which may be a reset: who goes on sending gets one behind the answer."""
    read = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(20):
            while piece := await reader.read(65_536):
                read += piece
    return read


@pytest.mark.parametrize("first", [b"", b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"], ids=["new", "kept alive"])
async def test_a_connection_without_a_whole_request_ends(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    monkeypatch.setattr("api.http.protocol.REQUEST_SECONDS", 0.2)
    async with api(NOWHERE) as client:
        async with connected(client) as (reader, writer):
            writer.write(first)
            if first:
                await reader.readuntil(b"}")
            dripping = asyncio.create_task(drip(writer, b"G"))
            assert await rest_of(reader) == b""
            dripping.cancel()
        async with connected(client) as (reader, writer):
            assert await rest_of(reader) == b"", "nor one on which nothing comes"


async def test_a_body_that_is_never_whole_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.body_limit.BODY_SECONDS", 0.2)
    monkeypatch.setattr("api.http.protocol.REQUEST_SECONDS", 0.2)
    async with api(NOWHERE) as client, connected(client) as (reader, writer):
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        dripping = asyncio.create_task(drip(writer, b"1\r\nx\r\n"))
        answer = await rest_of(reader)
        dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


async def test_who_is_refused_cannot_go_on_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.protocol.REQUEST_SECONDS", 0.2)
    async with api(NOWHERE) as client, connected(client) as (reader, writer):
        writer.write(HEAD + b"origin: https://elsewhere.example.org\r\ncontent-length: 1000000\r\n\r\n")
        dripping = asyncio.create_task(drip(writer, b"x"))
        answer = await rest_of(reader)
        dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 403")


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the server has lost a connection, or ended it."""
    monkeypatch.setattr("api.http.protocol.UNREAD_SECONDS", 0.2)
    event, real = asyncio.Event(), HttpConnection.connection_lost

    def noting(self: HttpConnection, error: Exception | None) -> None:
        real(self, error)
        event.set()

    monkeypatch.setattr(HttpConnection, "connection_lost", noting)
    return event


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Asks for more than the system's own buffers hold."""
    monkeypatch.setattr("api.http.protocol.REQUEST_SECONDS", 0.2)
    return b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 8


async def test_an_answer_that_is_not_read_ends(lost: asyncio.Event, asked: bytes) -> None:
    async with api(NOWHERE) as client, connected(client) as (_, writer):
        writer.write(asked)
        async with asyncio.timeout(20):
            await lost.wait()


async def test_an_answer_that_is_read_slowly_is_whole(lost: asyncio.Event, asked: bytes) -> None:
    bundle = next(Path(fastapi_offline.__file__).parent.rglob("swagger-ui-bundle.js")).stat().st_size
    async with api(NOWHERE) as client, connected(client) as (reader, writer):
        writer.write(asked)
        read = 0
        async with asyncio.timeout(30):
            while read < 8 * bundle:
                read += len(await reader.read(262_144))
                assert not lost.is_set()
                await asyncio.sleep(0.005)


async def test_an_answer_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.protocol.REQUEST_SECONDS", 0.2)
    monkeypatch.setattr("api.http.body_limit.BODY_SECONDS", 0.2)
    async with api(NOWHERE, api_feed_heartbeat_seconds=0.3) as client, client.stream("GET", "/api/feed") as answer:
        lines = answer.aiter_lines()
        beats = [line async for line in _some(lines, 2)]
    assert beats == [": heartbeat"] * 2


async def _some(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    async for line in lines:
        if line.startswith(":"):
            yield line
            count -= 1
        if not count:
            return
