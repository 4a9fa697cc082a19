"""Health over a real socket: live, ready, and not stopped by malformed requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import runtime.health
from runtime.health import serve_health


class Served:
    """A health server with two checks and an alarm whose states the test sets."""

    def __init__(self) -> None:
        self.states = {"kafka": True, "database": True}
        self.flooded = False
        self.port = 0

    async def ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def get(self, path: str) -> tuple[int, Any]:
        answer = await self.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, body = answer.split(b"\r\n\r\n", 1)
        assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
        assert b"content-type: application/json" in head
        return int(head.split()[1]), json.loads(body)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    checks = {"kafka": lambda: served.states["kafka"], "database": lambda: served.states["database"]}
    loop, unhandled = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
    try:
        async with serve_health("127.0.0.1", 0, checks, {"flood": lambda: served.flooded}) as served.port:
            yield served
    finally:
        loop.set_exception_handler(None)
    assert not unhandled


@pytest.mark.parametrize("path", ["/health", "/health/live"])
async def test_live_is_200_whatever_the_checks_return(served: Served, path: str) -> None:
    served.states.update(log=False, database=False)
    assert await served.get(path) == (200, {"status": "ok"})


async def test_ready_is_200_while_all_checks_pass(served: Served) -> None:
    checks = {"kafka": True, "database": True}
    assert await served.get("/health/ready") == (200, {"status": "ok", "checks": checks, "alarms": []})


async def test_an_alarm_is_listed_and_leaves_the_process_ready(served: Served) -> None:
    served.flooded = True
    assert await served.get("/health/ready") == (
        200,
        {"status": "ok", "checks": {"kafka": True, "database": True}, "alarms": ["flood"]},
    )
    served.states["kafka"] = False
    status, body = await served.get("/health/ready")
    assert (status, body["alarms"]) == (503, ["flood"])


@pytest.mark.parametrize("failing", ["kafka", "database"])
async def test_ready_is_503_while_one_check_fails_and_recovers(served: Served, failing: str) -> None:
    served.states[failing] = False
    checks = {"kafka": True, "database": True} | {failing: False}
    assert await served.get("/health/ready") == (503, {"status": "unavailable", "checks": checks, "alarms": []})
    served.states[failing] = True
    assert (await served.get("/health/ready"))[0] == 200


async def test_without_checks_a_process_is_ready() -> None:
    served = Served()
    async with serve_health("127.0.0.1", 0, {}) as served.port:
        assert (await served.get("/health/ready"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/health/other", "/metrics/other", "*"])
async def test_other_paths_are_404(served: Served, path: str) -> None:
    assert (await served.get(path))[0] == 404


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics?name[]=gateway_check"])
async def test_metrics_have_the_checks_and_alarms(served: Served, path: str) -> None:
    served.states["database"], served.flooded = False, True
    answer = await served.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/plain; version=0.0.4; charset=utf-8" in head.split(b"\r\n")
    assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
    lines = body.decode().splitlines()
    assert 'gateway_check{name="kafka"} 1.0' in lines
    assert 'gateway_check{name="database"} 0.0' in lines
    assert 'gateway_alarm{name="flood"} 1.0' in lines


@pytest.mark.parametrize(
    "request_bytes",
    [
        *(b"", b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /health/live HTTP/1.1\n\n"),
        *(
            b"\x00" * 100 + b"\r\n\r\n",
            b"GET \xff\xfe HTTP/1.1\r\n\r\n",
            b"x" * 100_000,
            b"GET / HTTP/1.1\r\n" * 10_000,
        ),
    ],
)
async def test_malformed_requests_do_not_end_the_server(served: Served, request_bytes: bytes) -> None:
    try:
        answer = await served.ask(request_bytes)
    except ConnectionError:
        answer = b""  # the server hung up before it had read everything
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert (await served.get("/health/live"))[0] == 200


async def test_silent_clients_delay_no_other(served: Served) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(20)]
    assert (await served.get("/health/live"))[0] == 200
    for _, writer in silent:
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_sends_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.health, "_CONNECTION_SECONDS", 0.1)
    async with serve_health("127.0.0.1", 0, {}) as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_many_requests_at_once(served: Served) -> None:
    answers = await asyncio.gather(*(served.get("/health/ready") for _ in range(50)))
    assert {status for status, _ in answers} == {200}


async def test_the_port_is_closed_after_the_context() -> None:
    async with serve_health("127.0.0.1", 0, {}) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
