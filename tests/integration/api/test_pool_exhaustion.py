"""The database answers, but not the queries of requests: these give up soon, and health checks do not wait for them."""

import asyncio
import time
from datetime import UTC, datetime

import httpx
import pytest

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from tests.support.readings import reading, stores
from tests.support.rest import api, assert_problem
from tests.support.servers import connection

POOL, TIMEOUT = 3, 2.0
# One for a connection, one for each statement, and the machine may have other things to do.
BOUND = 2 * TIMEOUT + 6
PATH = "/api/vens/ven-1/telemetry"


async def quickly(client: httpx.AsyncClient, path: str) -> None:
    began = time.monotonic()
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < TIMEOUT


@pytest.mark.parametrize("requests", [POOL, 10 * POOL])
async def test_requests_that_wait_for_a_lock_starve_nobody(
    database: DatabaseSettings, rows: Connection, requests: int
) -> None:
    now = datetime.now(UTC)
    async with stores(database) as store:
        await store.readings.store([reading(timestamp=now, received_at=now)])
    async with api(database, api_pool_size=POOL, api_db_timeout=TIMEOUT) as client:
        # Connected before, as health checks are.
        await quickly(client, "/health/db-check")
        async with rows.transaction():
            await rows.execute("LOCK TABLE telemetry_readings")
            began = time.monotonic()
            asked = [asyncio.create_task(client.get(PATH)) for _ in range(requests)]
            while not all(each.done() for each in asked):
                await quickly(client, "/health/live")
                await quickly(client, "/health/db-check")
                await asyncio.sleep(0)
            assert time.monotonic() - began < BOUND
            for each in asked:
                answer = await each
                assert_problem(answer, 503)
                assert int(answer.headers["retry-after"]) > 0
        answer = await client.get(PATH)
        assert answer.status_code == 200
        assert answer.json()["totalCount"] == 1


async def test_a_database_that_is_slow_is_not_asked_for_ever(database: DatabaseSettings, rows: Connection) -> None:
    """What was given up is given up in the server too."""
    async with api(database, api_pool_size=POOL, api_db_timeout=TIMEOUT) as client:
        async with rows.transaction():
            await rows.execute("LOCK TABLE vens")
            assert_problem(await client.get("/api/vens"), 503)
            async with connection(database) as beside:
                assert await wait_until(lambda: _is_idle(beside), 60)
        assert (await client.get("/api/vens")).json() == []


async def _is_idle(rows: Connection) -> bool:
    count = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND query LIKE '%FROM vens%LIMIT%'
            AND pid <> pg_backend_pid()
    """
    return bool(await rows.fetchval(count) == 0)
