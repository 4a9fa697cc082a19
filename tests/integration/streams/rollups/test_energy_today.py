"""The energy of a day as clients see it never falls, unless wrong readings were removed."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import HOUR, MINUTE
from streams.rollups.energy_today import SHOWN_AFTER
from streams.rollups.job import CLOSED_AFTER
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


async def test_it_grows_while_a_home_alternates(database: DatabaseSettings, rows: Connection) -> None:
    values = []
    async with rolling(database, NOON) as (store, rollup):
        for second in range(0, 240, 5):
            kw = 50.0 if second % 10 == 0 else 0.5
            await store.readings.store([reading("ven-1", second, used_power_kw=kw)])
            await rows.execute(ADD_TOTALS, at(second), kw)
            await rollup.step(at(second))
            values.append(await shown(rows))
        await rollup.step(at(240) + CLOSED_AFTER)
    assert values == sorted(values)
    # The last value, 0.5 kW, holds on.
    assert await shown(rows) == pytest.approx(240 * 25.25 / 3600)


async def test_a_late_reading_that_ends_a_hold_does_not_lower_it(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=6.0)])
        await rollup.step(NOON + HOUR)
        await store.readings.store([reading("ven-1", 600, used_power_kw=0.0)])
        await rollup.step(NOON + HOUR + 2 * SHOWN_AFTER)
        assert await shown(rows) == pytest.approx(2.0)
        await store.readings.store([reading("ven-1", 3600, used_power_kw=6.0)])
        await rollup.step(NOON + 3 * HOUR)
    assert await rows.fetchval("SELECT used_kwh FROM energy_days") == pytest.approx(3.0)
    assert await shown(rows) == pytest.approx(3.0)


async def test_open_minutes_are_estimated_from_below(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (_, rollup):
        for second, kw in ((-10, 36.0), (0, 36.0), (10, 36.0), (20, 0.0), (30, 72.0), (70, 72.0)):
            await rows.execute(ADD_TOTALS, at(second), kw)
        await rollup.step(at(75))
    assert await shown(rows) == pytest.approx(36.0 * 10 / 3600)


async def test_a_change_waits_until_the_last_one_is_shown(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=60.0)])
        begin = NOON + 5 * MINUTE + CLOSED_AFTER
        await rollup.step(begin)
        await rollup.step(begin + MINUTE)
        await rollup.step(begin + MINUTE + SHOWN_AFTER / 2)
    row = await rows.fetchrow("SELECT shown_kwh, previous_kwh, shown_from FROM energy_days")
    assert row is not None
    assert tuple(row) == (pytest.approx(6.0), pytest.approx(5.0), begin + MINUTE + SHOWN_AFTER)


async def test_a_removal_lowers_it_once_everything_is_recomputed(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=6000.0), reading("ven-1", 60, used_power_kw=6.0)])
        await rollup.step(NOON + HOUR)
        high = await shown(rows)
        async with rows.transaction():
            await rows.execute("DELETE FROM telemetry_readings WHERE time = $1", NOON)
            await rows.execute("INSERT INTO rollup_late VALUES ('ven-1', $1)", NOON)
            await rows.execute(REMOVED, NOON.date())
        async with rows.transaction():
            await rows.execute("SELECT FROM rollup_late FOR UPDATE")
            await rollup.step(NOON + HOUR + timedelta(seconds=1))
            assert await shown(rows) == high
        await rollup.step(NOON + HOUR + timedelta(seconds=2))
        assert await shown(rows) == pytest.approx(2.0)
        await store.readings.store([reading("ven-1", 120, used_power_kw=0.0)])
        await rollup.step(NOON + 2 * HOUR)
    assert await shown(rows) == pytest.approx(2.0)
