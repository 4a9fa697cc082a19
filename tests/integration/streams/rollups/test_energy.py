"""Energy is the integral of power over the real gaps between samples."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runtime.database import Connection
from schemas.records.telemetry import Reading
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import HOUR, MINUTE, floor_to
from streams.rollups.job import CLOSED_AFTER, RollUp
from tests.support.readings import NOON, Stores, reading
from tests.support.rollups import HOLD_SECONDS, rolling

DAY = timedelta(days=1)
MIDNIGHT = floor_to(NOON, DAY)

SET_INTERVAL = """
INSERT INTO vens (ven_id, name, report_interval_seconds) VALUES ($1, $1, $2)
ON CONFLICT (ven_id) DO UPDATE SET report_interval_seconds = excluded.report_interval_seconds
"""
MINUTES = """
SELECT ven_id, time, {power}_kwh AS kwh, {power}_covered_seconds AS seconds FROM telemetry_minutes
WHERE {power}_covered_seconds > 0
"""
DAY_ENERGY = "SELECT COALESCE(sum(used_kwh), 0) FROM energy_days"


class Span(NamedTuple):
    """How much energy, and for how many seconds of the time it is known."""

    kwh: float
    seconds: float


def integrate(told: Iterable[tuple[datetime, float | None]], hold: float, begin: datetime, end: datetime) -> Span:
    """Return the integral of a power in [begin, end): each value holds until the next, at most `hold` seconds."""
    values = sorted((time, kw) for time, kw in told if kw is not None)
    kwh = seconds = 0.0
    for number, (time, kw) in enumerate(values):
        until = min(
            time + timedelta(seconds=hold), *(next_time for next_time, _ in values[number + 1 : number + 2]), end
        )
        held = max((until - max(time, begin)).total_seconds(), 0.0)
        kwh += kw * held / 3600
        seconds += held
    return Span(kwh, seconds)


@pytest.mark.parametrize(
    ("interval", "samples", "kwh"),
    [
        (None, [(0, 6.0), (900, 6.0), (1800, 6.0), (2700, 6.0), (3600, 0.0)], 6.0),
        (3600, [(0, 10.0), (59 * 60, 0.0)], 10 * 59 / 60),
        (None, [*((second, 60.0) for second in range(0, 61, 5)), (61, 0.0)], 61 / 60),
        (None, [(0, 3.0)], 1.0),
        (200, [(0, 3.0)], 1.0),
        (1200, [(0, 3.0)], 3.0),
        (None, [(0, 2.0), (60, None), (1800, 0.0)], 2 / 3),
        (None, [(0, -3.0), (600, 3.0), (1200, 0.0)], 0.0),
    ],
    ids=["every-15-min", "on-change", "dense", "silent", "short-interval", "long-interval", "not-told", "export"],
)
async def test_a_power_holds_until_the_next(
    database: DatabaseSettings,
    rows: Connection,
    interval: float | None,
    samples: list[tuple[int, float | None]],
    kwh: float,
) -> None:
    await rows.execute(SET_INTERVAL, "ven-1", interval)
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", second, used_power_kw=kw) for second, kw in samples])
        await rollup.step(NOON + 2 * HOUR)
    assert await rows.fetchval(DAY_ENERGY) == pytest.approx(kwh)
    assert await rows.fetchval("SELECT sum(used_kwh) FROM telemetry_minutes") == pytest.approx(kwh)
    assert await rows.fetchval("SELECT sum(used_kwh) FROM telemetry_hours") == pytest.approx(kwh)


async def test_a_late_reading_ends_the_hold_of_the_one_before(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=6.0)])
        await rollup.step(NOON + HOUR)
        assert await rows.fetchval(DAY_ENERGY) == pytest.approx(2.0)
        await store.readings.store([reading("ven-1", 90, used_power_kw=0.0)])
        await rollup.step(NOON + HOUR)
    assert await rows.fetchval(DAY_ENERGY) == pytest.approx(0.15)
    covered = await rows.fetchval("SELECT sum(used_covered_seconds) FROM telemetry_minutes")
    assert covered == 90 + HOLD_SECONDS


async def test_a_minute_within_a_hold_has_energy_and_no_samples(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading("ven-1", 0, used_power_kw=6.0)])
        await rollup.step(NOON + 5 * MINUTE)
    row = await rows.fetchrow("SELECT * FROM telemetry_minutes WHERE time = $1", NOON + MINUTE)
    assert row is not None
    assert (row["samples"], row["used_min"], row["used_kwh"], row["shed_kwh"]) == (0, None, pytest.approx(0.1), None)


async def test_the_energy_of_a_deleted_ven_stays_in_its_day(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup):
        await store.readings.store([reading(ven, 0, used_power_kw=6.0) for ven in ("ven-1", "ven-2")])
        await rollup.step(NOON + 10 * MINUTE)
        for table in ("telemetry_readings", "telemetry_minutes", "vens"):
            await rows.execute(f"DELETE FROM {table} WHERE ven_id = 'ven-1'")  # noqa: S608 - names of this test
        await store.readings.store([reading("ven-2", 60, used_power_kw=0.0)])
        await rollup.step(NOON + HOUR)
    # The minute from 12:09 to 12:10 closes 20 s after its end.
    assert await rows.fetchval(DAY_ENERGY) == pytest.approx(6 * 9 / 60 + 6 / 60)


# Seconds from midnight; dense, sparse and equal ones.
SECONDS = st.integers(-2400, 2400) | st.integers(-30, 30) | st.integers(-8, 8).map(lambda minute: minute * 300)
KW = st.none() | st.sampled_from([0.0, 0.5, 50.0]) | st.floats(-20, 100, allow_nan=False, width=16)
SAMPLES = st.lists(st.tuples(st.sampled_from(["a", "b"]), SECONDS, KW, KW), min_size=1, max_size=14)


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[list[Any], int]]:
    """Batches of samples in any order, some of them twice, each with the minute up to which is rolled up after it."""
    samples = draw(SAMPLES)
    arriving = draw(st.permutations([*samples, *draw(st.lists(st.sampled_from(samples), max_size=3))]))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), min_size=1, max_size=4)))
    minutes = sorted(draw(st.lists(st.integers(-40, 100), min_size=len(cuts), max_size=len(cuts))))
    batches = [arriving[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(arriving)], strict=True)]
    return list(zip(batches, [*minutes, 100], strict=True))


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(batches=arrivals(), interval=st.none() | st.sampled_from([60, 500, 1500]))
@example(batches=[([("a", 0, 6.0, None)], 20), ([("a", 300, None, 1.0), ("a", 301, 0.0, None)], 100)], interval=1500)
async def test_energy_equals_the_integral_of_the_samples(
    database: DatabaseSettings, rows: Connection, batches: list[tuple[list[Any], int]], interval: float | None
) -> None:
    begin = MIDNIGHT - HOUR
    for table in ("telemetry_readings", "telemetry_minutes", "telemetry_hours", "energy_days", "rollup_late"):
        await rows.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this test
    await rows.execute(SET_INTERVAL, "a", interval)
    first: dict[tuple[str, int], Reading] = {}
    async with rolling(database, begin) as (store, rollup):
        for batch, minute in batches:
            await _arrive(store, rollup, batch, first, MIDNIGHT + minute * MINUTE)
    holds = defaultdict(lambda: HOLD_SECONDS, {"a": max(HOLD_SECONDS, 3 * (interval or 0))})
    end = MIDNIGHT + 100 * MINUTE
    for power in ("used", "shed"):
        expected = _expected(list(first.values()), f"{power}_power_kw", holds, begin, end)
        found = await rows.fetch(MINUTES.format(power=power))
        assert {(row["ven_id"], row["time"]): (row["kwh"], row["seconds"]) for row in found} == {
            key: pytest.approx(tuple(span), abs=1e-6) for key, span in expected.items()
        }
    used = _expected(list(first.values()), "used_power_kw", holds, begin, end)
    for day in (MIDNIGHT - DAY, MIDNIGHT):
        of_day = sum(span.kwh for (_, minute), span in used.items() if floor_to(minute, DAY) == day)
        energy = await rows.fetchval("SELECT used_kwh FROM energy_days WHERE day = $1", day.date())
        assert energy == pytest.approx(of_day, abs=1e-6)


async def _arrive(
    store: Stores, rollup: RollUp, batch: Sequence[Any], first: dict[tuple[str, int], Reading], rolled_up_to: datetime
) -> None:
    """Store a batch and roll up; of two samples with one time the first one counts."""
    midnight = (MIDNIGHT - NOON).total_seconds()
    for ven_id, second, used, shed in batch:
        one = reading(ven_id, midnight + second, used_power_kw=used, shed_power_kw=shed)
        await store.readings.store([first.setdefault((ven_id, second), one)])
    await rollup.step(rolled_up_to + CLOSED_AFTER)


def _expected(
    readings: Sequence[Reading], field: str, holds: dict[str, float], begin: datetime, end: datetime
) -> dict[tuple[str, datetime], Span]:
    minutes = [begin + number * MINUTE for number in range((end - begin) // MINUTE)]
    spans: dict[tuple[str, datetime], Span] = {}
    for ven_id in {one.ven_id for one in readings}:
        told = [(one.timestamp, getattr(one, field)) for one in readings if one.ven_id == ven_id]
        for minute in minutes:
            span = integrate(told, holds[ven_id], minute, minute + MINUTE)
            if span.seconds > 0:
                spans[ven_id, minute] = span
    return spans
