"""Rollups equal the readings, whatever arrives late or twice."""

import asyncio
import random
from datetime import datetime, timedelta
from functools import partial

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import HOUR, MINUTE, WIDTHS, floor_to
from schemas.tables.rollups import LATE_BEFORE
from streams.rollups import store as rollup_store
from streams.rollups.job import CLOSED_AFTER, RollUp
from streams.store.database import database as open_database
from tests.support.readings import NOON, Stores, reading, stores
from tests.support.rollups import HOLD_SECONDS, rolling, some

# What rollups are: the same figures, computed from the readings by a plain query.
OF_READINGS = """
SELECT ven_id, date_bin($1::interval, time, 'epoch') AS begun, count(*) AS samples,
       count(used_power_kw) AS used_samples, COALESCE(sum(used_power_kw), 0) AS used_sum,
       min(used_power_kw) AS used_min, max(used_power_kw) AS used_max,
       count(shed_power_kw) AS shed_samples, COALESCE(sum(shed_power_kw), 0) AS shed_sum,
       (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id
FROM telemetry_readings WHERE time < $2 GROUP BY 1, 2 ORDER BY 1, 2
"""
OF_ROLLUPS = """
SELECT ven_id, time AS begun, samples, used_samples, used_sum, used_min, used_max, shed_samples, shed_sum, event_id
FROM {table} WHERE samples > 0 ORDER BY 1, 2
"""
NETWORK_OF_READINGS = """
SELECT begun, sum(used) AS used_power_kw, sum(shed) AS shed_power_kw, count(*) AS vens
FROM (SELECT ven_id, date_bin($1::interval, time, 'epoch') AS begun, avg(used_power_kw) AS used,
             avg(shed_power_kw) AS shed
      FROM telemetry_readings WHERE time < $2 GROUP BY 1, 2) AS vens
GROUP BY 1 ORDER BY 1
"""
NETWORK = (
    "SELECT time AS begun, used_power_kw, shed_power_kw, vens FROM network_buckets WHERE granularity = $1 ORDER BY 1"
)


async def assert_rollups_equal_readings(rows: Connection, until: datetime) -> None:
    for table, width in (("telemetry_minutes", MINUTE), ("telemetry_hours", HOUR)):
        expected = await rows.fetch(OF_READINGS, width, floor_to(until, width))
        found = await rows.fetch(OF_ROLLUPS.format(table=table))
        assert [close(row) for row in found] == [close(row) for row in expected], table
    for granularity, width in WIDTHS.items():
        expected = await rows.fetch(NETWORK_OF_READINGS, width, floor_to(until, width))
        found = await rows.fetch(NETWORK, granularity)
        assert [close(row) for row in found] == [close(row) for row in expected], granularity


def close(row: object) -> tuple[object, ...]:
    return tuple(round(value, 6) if isinstance(value, float) else value for value in row.values())  # type: ignore[attr-defined]


async def test_rollups_equal_the_sums_of_readings(database: DatabaseSettings, rows: Connection) -> None:
    choose = random.Random(7)
    async with rolling(database, NOON) as (store, rollup):
        for minutes in (0, 3, 61, 62, 130, 200, 13 * 60):
            # Late, early and again: readings of the whole time, whatever is rolled up already.
            await store.readings.store(some(choose, 60, 3))
            now = NOON + timedelta(minutes=minutes) + CLOSED_AFTER
            await rollup.step(now)
            while await rows.fetchval("SELECT count(*) FROM network_stale"):
                await rollup.step(now)
            await assert_rollups_equal_readings(rows, NOON + timedelta(minutes=minutes))


async def test_closing_waits_for_transactions_of_the_minute(database: DatabaseSettings, rows: Connection) -> None:
    """The sink has stored, but not committed, when the minute closes: closing waits for it."""
    async with rolling(database, NOON) as (_, rollup), stores(database) as other:
        await other.readings.store([reading("ven-1", 1)])
        late = rollup.step(NOON + MINUTE + CLOSED_AFTER)
        async with rows.transaction():
            await rows.fetchval(LATE_BEFORE)
            await rows.execute(
                "INSERT INTO telemetry_readings (ven_id, time, received_at, used_power_kw) VALUES ('ven-1', $1, $1, 3)",
                NOON + timedelta(seconds=2),
            )
            closing = asyncio.ensure_future(late)
            async with stores(database) as third:
                assert await waits_for_lock(third)
            assert not closing.done()
        await closing
        await assert_rollups_equal_readings(rows, NOON + MINUTE)


async def test_batches_do_not_wait_for_a_roll_up(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 1)])
        await rollup.step(NOON + CLOSED_AFTER)
        await store.database.run(lambda connection: rollup_store.close_minutes(connection, NOON + MINUTE))
        async with rows.transaction():
            await rollup_store.roll_up(rows, HOLD_SECONDS, MINUTE)
            async with asyncio.timeout(20):
                # One of the minute that is being rolled up, and one of the next.
                await store.readings.store([reading("ven-1", 2), reading("ven-1", 62)])
        await rollup.step(NOON + 2 * MINUTE + CLOSED_AFTER)
    await assert_rollups_equal_readings(rows, NOON + 2 * MINUTE)


async def test_batch_waits_while_its_minute_is_closed(database: DatabaseSettings, rows: Connection) -> None:
    """Or it would take the minute for open, and its reading, which no rolling up has seen, end in no rollup."""
    async with rolling(database, NOON) as (store, rollup), stores(database) as third:
        await store.readings.store([reading("ven-1", 1)])
        await rollup.step(NOON + CLOSED_AFTER)
        async with rows.transaction():
            await rollup_store.close_minutes(rows, NOON + MINUTE)
            storing = asyncio.ensure_future(store.readings.store([reading("ven-1", 2)]))
            assert await waits_for_lock(third)
            assert not storing.done()
        await storing
        assert await rows.fetchval("SELECT count(*) FROM rollup_late") == 1


async def test_late_marks_during_a_recomputation_are_not_lost(database: DatabaseSettings, rows: Connection) -> None:
    """What a batch has in hand is left to it, and for what is taken it waits."""
    async with rolling(database, NOON) as (store, rollup), stores(database) as third:
        await store.readings.store([reading("ven-1", 1), reading("ven-1", 61)])
        await rollup.step(NOON + 2 * MINUTE + CLOSED_AFTER)
        await store.readings.store([reading("ven-1", 2), reading("ven-1", 62)])
        recompute = partial(
            rollup_store.recompute_late, hold_seconds=HOLD_SECONDS, days=[floor_to(NOON, WIDTHS["1d"])], limit=10
        )
        async with stores(database) as other, open_database(database, "test-again") as again:
            async with rows.transaction():
                await rows.execute("SELECT FROM rollup_late WHERE time = $1 FOR UPDATE", NOON)
                assert await again.run(recompute) == 1
            async with rows.transaction():
                assert await recompute(rows) == 1
                storing = asyncio.ensure_future(other.readings.store([reading("ven-1", 3)]))
                assert await waits_for_lock(third)
                assert not storing.done()
            await storing
        await rollup.step(NOON + 2 * MINUTE + CLOSED_AFTER)
    await assert_rollups_equal_readings(rows, NOON + 2 * MINUTE)


async def waits_for_lock(store: Stores) -> bool:
    async def blocked() -> bool:
        waiting = await store.database.run(
            lambda connection: connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
        )
        return bool(waiting)

    return await wait_until(blocked, timeout=60)


async def test_two_workers_roll_up_the_same_minutes(database: DatabaseSettings, rows: Connection) -> None:
    choose = random.Random(8)
    async with rolling(database, NOON) as (store, rollup), open_database(database, "test-other") as other:
        await store.readings.store(some(choose, 200, 2))
        now = NOON + timedelta(hours=3)
        await asyncio.gather(rollup.step(now), RollUp(other, store.partitions, HOLD_SECONDS).step(now))
        await rollup.step(now)
        await assert_rollups_equal_readings(rows, floor_to(now - CLOSED_AFTER, MINUTE))


# As slow by the row as a database that is large and busy.
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON telemetry_minutes FOR EACH ROW EXECUTE FUNCTION slow();
"""


async def test_roll_up_that_times_out_continues_in_smaller_steps(database: DatabaseSettings, rows: Connection) -> None:
    impatient = database.model_copy(update={"db_timeout": 0.8})
    await rows.execute(SLOW)
    async with stores(database) as store, rolling(impatient, NOON) as (_, rollup):
        await store.readings.store([reading("ven-1", minute * 60 + 7) for minute in range(15)])
        await rollup.step(NOON + timedelta(minutes=15) + CLOSED_AFTER)
    await assert_rollups_equal_readings(rows, NOON + timedelta(minutes=15))
