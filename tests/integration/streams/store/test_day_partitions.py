"""Day partitions: created when needed, dropped after the retention, also after interruptions."""

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone

import asyncpg
import pytest

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.partitioning import PARTITIONED, create_partition, partition_name
from tests.support.readings import HVAC, reading, stores
from tests.support.servers import Databases, connection

PARENT = "telemetry_readings"
KEPT_DAYS = 10


def day(days_ago: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days_ago)


def at(days_ago: int, hour: int = 12) -> datetime:
    return datetime.combine(day(days_ago), datetime.min.time(), UTC) + timedelta(hours=hour)


async def attached(rows: Connection, parent: str = PARENT) -> set[str]:
    found = await rows.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass", parent
    )
    return {row["name"] for row in found}


async def exists(rows: Connection, name: str) -> bool:
    return bool(await rows.fetchval("SELECT to_regclass($1) IS NOT NULL", name))


async def is_pending(rows: Connection, name: str) -> bool:
    return bool(await rows.fetchval("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = $1::regclass", name))


async def create(rows: Connection, days_ago: int, parent: str = PARENT) -> str:
    for statement in create_partition(parent, day(days_ago)):
        await rows.execute(statement)
    return partition_name(parent, day(days_ago))


async def test_partition_is_created_for_the_first_row_of_a_day(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as store:
        await store.readings.store([reading(timestamp=at(days), loads=(HVAC,)) for days in (3, 5, 40)])
    for table in PARTITIONED[:2]:
        assert {partition_name(table, day(days)) for days in (3, 5, 40)} <= await attached(rows, table)
        assert await rows.fetchval(f"SELECT count(*) FROM {table}") == 3  # noqa: S608 - our tables


async def test_two_workers_create_the_same_partitions(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as first, stores(database) as second:
        await asyncio.gather(
            first.readings.store([reading("ven-1", timestamp=at(days)) for days in range(2, 12)]),
            second.readings.store([reading("ven-2", timestamp=at(days)) for days in range(11, 1, -1)]),
        )
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 20


async def test_maintenance_drops_old_days_and_creates_next_ones(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database, retention_days=KEPT_DAYS) as store:
        kept = [reading(timestamp=at(days)) for days in (0, 3, KEPT_DAYS)]
        await store.readings.store([*kept, *(reading(timestamp=at(days)) for days in (KEPT_DAYS + 1, 80))])
        # It is not there where the tables were made before midnight.
        await rows.execute(f"DROP TABLE IF EXISTS {partition_name(PARENT, day(-7))}")
        await store.partitions.maintain()
    found = await rows.fetch("SELECT time FROM telemetry_readings ORDER BY time DESC")
    assert [row["time"] for row in found] == [each.timestamp for each in kept]
    assert not await exists(rows, partition_name(PARENT, day(KEPT_DAYS + 1)))
    for table in PARTITIONED:
        assert {partition_name(table, day(days)) for days in range(-7, 2)} <= await attached(rows, table)


async def test_drop_blocks_neither_readers_nor_writers(database: DatabaseSettings, rows: Connection) -> None:
    old = await create(rows, KEPT_DAYS + 5)
    async with stores(database, retention_days=KEPT_DAYS) as store:
        async with rows.transaction():
            assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 0
            keeping = asyncio.create_task(store.partitions.maintain())
            async with connection(database) as other:

                async def detaching() -> bool:
                    return bool(await other.fetchval("SELECT bool_or(inhdetachpending) FROM pg_inherits"))

                assert await wait_until(detaching, 60)
                await asyncio.wait_for(store.readings.store([reading()]), 30)
                assert await other.fetchval("SELECT count(*) FROM telemetry_readings") == 1
            assert not keeping.done()
        await keeping
    assert not await exists(rows, old)


async def test_leftovers_of_an_interrupted_drop_are_removed(database: DatabaseSettings, rows: Connection) -> None:
    """A detach that a long reader held up until the worker was killed, and a table detached but not yet dropped."""
    pending, loose = await create(rows, KEPT_DAYS + 5), await create(rows, KEPT_DAYS + 6)
    await rows.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {loose}")
    await rows.execute(f"ALTER TABLE {loose} RENAME TO {loose}_dropping")
    async with rows.transaction():
        await rows.fetchval("SELECT count(*) FROM telemetry_readings")
        async with connection(database) as killed, connection(database) as other:
            statement = f"ALTER TABLE {PARENT} DETACH PARTITION {pending} CONCURRENTLY"
            detaching = asyncio.create_task(killed.execute(statement))
            assert await wait_until(lambda: is_pending(other, pending), 60)
            await other.execute("SELECT pg_cancel_backend($1)", killed.get_server_pid())
            with pytest.raises(asyncpg.QueryCanceledError):
                await detaching
    assert await is_pending(rows, pending)
    async with stores(database, retention_days=KEPT_DAYS) as store:
        await store.partitions.maintain()
    assert not await exists(rows, pending)
    assert not await exists(rows, f"{loose}_dropping")


async def test_detached_partition_is_kept_and_reattached_with_its_rows(
    database: DatabaseSettings, rows: Connection
) -> None:
    name = partition_name(PARENT, day(1))
    async with stores(database) as store:
        await store.readings.store([reading("ven-1", timestamp=at(1))])
        await rows.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {name}")
        old = await create(rows, KEPT_DAYS + 5)
        await rows.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {old}")
    async with stores(database, retention_days=KEPT_DAYS) as store:
        await store.readings.store([reading("ven-2", timestamp=at(1))])
        await store.partitions.maintain()
    assert {row["ven_id"] for row in await rows.fetch("SELECT ven_id FROM telemetry_readings")} == {"ven-1", "ven-2"}
    assert await exists(rows, old)


async def test_leftover_table_of_a_needed_day_is_replaced(database: DatabaseSettings, rows: Connection) -> None:
    loose = await create(rows, 5)
    await rows.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {loose}")
    async with stores(database) as store:
        await store.readings.store([reading(timestamp=at(5))])
    assert loose in await attached(rows)
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


async def test_partition_dropped_by_another_worker_is_recreated(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as store:
        await store.readings.store([reading(timestamp=at(KEPT_DAYS + 1))])
        async with stores(database, retention_days=KEPT_DAYS) as other:
            await other.partitions.maintain()
        await store.readings.store([reading(timestamp=at(KEPT_DAYS + 1, hour=13))])
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


async def test_time_in_another_zone_belongs_to_its_utc_day(database: DatabaseSettings, rows: Connection) -> None:
    late = datetime.combine(day(5), datetime.min.time(), timezone(timedelta(hours=2)))
    async with stores(database) as store:
        await store.readings.store([reading(timestamp=late)])
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


async def test_drop_is_repeated_after_an_outage(
    database: DatabaseSettings, databases: Databases, rows: Connection
) -> None:
    old = await create(rows, KEPT_DAYS + 5)
    async with stores(database, retention_days=KEPT_DAYS) as store, connection(databases.settings("gateway")) as admin:
        await store.readings.store([reading()])
        # Who is in may stay, nobody else gets in.
        await admin.execute(f"ALTER DATABASE {database.db_name} ALLOW_CONNECTIONS false")
        await store.partitions.maintain()
        assert await exists(rows, old)
        await admin.execute(f"ALTER DATABASE {database.db_name} ALLOW_CONNECTIONS true")
        await store.partitions.maintain()
    assert not await exists(rows, old)
