"""Stores wait for PostgreSQL during an outage; nothing is lost or stored twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from gateway.stack.polling import wait_until
from gateway.stack.postgres import Postgres
from migrations.run import migrate
from runtime.database import Connection, connect_options
from schemas.records.telemetry import Reading
from schemas.settings.blocks import DatabaseSettings
from tests.support.readings import HVAC, Stores, reading, stores
from tests.support.servers import connection, frozen, settings_of

BATCH = [reading(f"ven-{ven}", second, loads=(HVAC,)) for ven in range(10) for second in range(10)]
BUSY = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'test-sink' AND datname = current_database() AND wait_event_type = 'Lock'
"""


async def counts(rows: Connection) -> tuple[int, int]:
    """Return how many readings and loads there are."""
    counted = [await rows.fetchval(f"SELECT count(*) FROM telemetry_{name}") for name in ("readings", "loads")]  # noqa: S608 - our tables
    return counted[0], counted[1]


@asynccontextmanager
async def blocked_store(
    settings: DatabaseSettings, store: Stores
) -> AsyncIterator[tuple[asyncio.Task[Sequence[Reading]], Connection]]:
    """Block the store inside its transaction: readings are copied, the lock of the status is missing."""
    async with connection(settings) as other, connection(settings) as looking:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE ven_status IN ACCESS EXCLUSIVE MODE")
        storing = asyncio.create_task(store.readings.store(BATCH))

        async def waits() -> bool:
            return bool(await looking.fetchval(BUSY))

        assert await wait_until(waits, 60)
        yield storing, other
        if not other.is_closed():
            await transaction.rollback()
    await asyncio.wait_for(storing, 60)


async def test_lost_connection_is_replaced_and_work_retried(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as store:
        async with blocked_store(database, store) as _:
            cut = await rows.fetchval(BUSY)
            assert await rows.fetchval("SELECT pg_terminate_backend($1)", cut)

            async def waits_again() -> bool:
                return await rows.fetchval(BUSY) not in (None, cut)

            assert await wait_until(waits_again, 60)
            assert await counts(rows) == (0, 0)
        assert await counts(rows) == (100, 100)
        await store.readings.store(BATCH)
        assert store.database.connected
    assert await counts(rows) == (100, 100)
    assert await rows.fetchval("SELECT count(*) FROM vens") == 10


async def test_killed_server_is_waited_for(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    await postgres.start()
    settings = settings_of(postgres)
    await migrate(settings)
    async with stores(settings) as store:
        await store.readings.store(BATCH[:30])
        async with blocked_store(settings, store) as (storing, other):
            other.terminate()
            await postgres.kill()
            assert await wait_until(lambda: caplog.text.count("trying again") >= 2, 60)
            assert not store.database.connected
            assert not storing.done()
            await postgres.start()
    async with connection(settings) as rows:
        assert await counts(rows) == (100, 100)
        assert await rows.fetchval("SELECT count(*) FROM vens") == 10


async def test_hanging_server_times_out_and_work_is_retried(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    await postgres.start()
    await migrate(settings_of(postgres))
    settings = settings_of(postgres).model_copy(update={"db_timeout": 0.5})
    async with stores(settings) as store:
        await store.readings.store(BATCH[:30])
        with frozen(postgres):
            storing = asyncio.create_task(store.readings.store(BATCH))
            assert await wait_until(lambda: caplog.text.count("trying again") >= 2, 60)
        await asyncio.wait_for(storing, 60)
    async with connection(settings) as rows:
        assert await counts(rows) == (100, 100)


async def test_locks_of_a_silent_client_are_released(database: DatabaseSettings, rows: Connection) -> None:
    # As after a connection that died without a word: the server goes on waiting for its client.
    silent = await asyncpg.connect(**connect_options(database.model_copy(update={"db_timeout": 1.5}), "silent"))
    await silent.execute("BEGIN; INSERT INTO vens (ven_id, name) VALUES ('a', 'a')")
    await asyncio.wait_for(rows.execute("INSERT INTO vens (ven_id, name) VALUES ('a', 'b')"), 30)
    silent.terminate()
    assert await rows.fetchval("SELECT name FROM vens") == "b"


async def test_missing_table_is_waited_for(
    database: DatabaseSettings, rows: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await rows.execute("ALTER TABLE vens RENAME TO elsewhere")
    async with stores(database) as store:
        storing = asyncio.create_task(store.readings.store(BATCH))
        assert await wait_until(lambda: caplog.text.count("UndefinedTableError") >= 2, 60)
        assert not storing.done()
        await rows.execute("ALTER TABLE elsewhere RENAME TO vens")
        await asyncio.wait_for(storing, 60)
    assert await counts(rows) == (100, 100)


async def test_workers_storing_the_same_rows_do_not_deadlock(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as first, stores(database) as second:
        await asyncio.gather(first.readings.store(BATCH), second.readings.store(BATCH[::-1]))
    assert await counts(rows) == (100, 100)
    assert await rows.fetchval("SELECT count(*) FROM ven_status") == 10


async def test_connection_lost_during_copy_is_an_outage(database: DatabaseSettings, rows: Connection) -> None:
    failures = [asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")]

    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO vens (ven_id, name) VALUES ('a', 'a')")
        if failures:
            raise failures.pop()

    async with stores(database) as store:
        await store.database.run(work)
    assert await rows.fetchval("SELECT count(*) FROM vens") == 1
