"""The energy of a day as clients see it never falls, unless wrong readings were removed."""

from datetime import datetime
from typing import Any

import pytest

from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import HOUR, MINUTE
from streams.rollups.energy_today import SHOWN_AFTER, STANDS_FOR
from streams.rollups.job import CLOSED_AFTER, RollUp
from tests.support.readings import NOON, at, reading
from tests.support.rollups import rolling

SHOWN = "SELECT shown_kwh FROM energy_days WHERE day = $1"
ADD_TOTALS = """
INSERT INTO network_stats (time, as_of, online_vens, household_usage_kw, current_load_reduction_kw,
                           controllable_power_kw, potential_load_reduction_kw, load_types)
VALUES ($1, $1, 1, $2, 0, 0, 0, '{}')
"""
REMOVED = "UPDATE energy_days SET corrected_at = now() WHERE day = $1"


async def shown(rows: Connection) -> Any:
    return await rows.fetchval(SHOWN, NOON.date())


async def settle(rollup: RollUp, now: datetime) -> None:
    """Run the job until the energy at `now` is shown."""
    await rollup.step(now)
    await rollup.step(now + STANDS_FOR)


async def test_it_grows_while_a_home_alternates(database: DatabaseSettings, rows: Connection) -> None:
    values = []
    async with rolling(database, NOON) as (store, rollup):
        for second in range(0, 240, 5):
            kw = 50.0 if second % 10 == 0 else 0.5
            await store.readings.store([reading("ven-1", second, used_power_kw=kw)])
            await rows.execute(ADD_TOTALS, at(second), kw)
            await rollup.step(at(second))
            values.append(await shown(rows))
        await settle(rollup, at(240) + CLOSED_AFTER)
    assert values == sorted(values)
    # The last value, 0.5 kW, holds on.
    assert await shown(rows) == pytest.approx(240 * 25.25 / 3600)


async def test_a_late_reading_that_ends_a_hold_does_not_lower_it(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=6.0)])
        await settle(rollup, NOON + HOUR)
        await store.readings.store([reading("ven-1", 600, used_power_kw=0.0)])
        await settle(rollup, NOON + HOUR + MINUTE)
        assert await shown(rows) == pytest.approx(2.0)
        await store.readings.store([reading("ven-1", 3600, used_power_kw=6.0)])
        await settle(rollup, NOON + 3 * HOUR)
    assert await rows.fetchval("SELECT used_kwh FROM energy_days") == pytest.approx(3.0)
    assert await shown(rows) == pytest.approx(3.0)


async def test_open_minutes_are_estimated_from_below(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (_, rollup):
        for second, kw in ((-10, 36.0), (0, 36.0), (10, 36.0), (20, 0.0), (30, 72.0), (70, 72.0)):
            await rows.execute(ADD_TOTALS, at(second), kw)
        await settle(rollup, at(65))
    assert await shown(rows) == pytest.approx(36.0 * 10 / 3600)


async def test_a_value_is_shown_only_if_it_stands(database: DatabaseSettings, rows: Connection) -> None:
    """A backlog arrives in order: until its next sample arrives, the last one holds on."""
    begin = NOON + 2 * HOUR
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=10.0)])
        await rollup.step(begin)
        await store.readings.store([reading("ven-1", 60, used_power_kw=0.0)])
        await rollup.step(begin + STANDS_FOR / 2)
        await rollup.step(begin + STANDS_FOR)
        await rollup.step(begin + 2 * STANDS_FOR)
    row = await rows.fetchrow("SELECT shown_kwh, previous_kwh, shown_from FROM energy_days")
    assert row is not None
    kwh = pytest.approx(10 / 60)
    assert tuple(row) == (kwh, kwh, begin + 2 * STANDS_FOR + SHOWN_AFTER)


async def test_a_removal_lowers_it_once_everything_is_recomputed(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=6000.0), reading("ven-1", 60, used_power_kw=6.0)])
        await settle(rollup, NOON + HOUR)
        high = await shown(rows)
        assert high > 100
        async with rows.transaction():
            await rows.execute("DELETE FROM telemetry_readings WHERE time = $1", NOON)
            await rows.execute("INSERT INTO rollup_late VALUES ('ven-1', $1)", NOON)
            await rows.execute(REMOVED, NOON.date())
        # A late reading of the same minute does not hide that the minute is still to be recomputed.
        await store.readings.store([reading("ven-1", 30, used_power_kw=6.0)])
        async with rows.transaction():
            await rows.execute("SELECT FROM rollup_late FOR UPDATE")
            await settle(rollup, NOON + HOUR + MINUTE)
            assert await shown(rows) == high
        await rollup.step(NOON + HOUR + 2 * MINUTE)
        assert await shown(rows) == pytest.approx(2.05)
        await store.readings.store([reading("ven-1", 120, used_power_kw=0.0)])
        await settle(rollup, NOON + 2 * HOUR)
    assert await shown(rows) == pytest.approx(2.05)
