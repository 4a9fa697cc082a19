"""Histories are what the readings say, in any interval, whether rolled up, late or fresh."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

import asyncpg
import pytest

from api.queries.network_history import fetch_network_history
from api.queries.ven_history import fetch_ven_history
from runtime.database import Connection, connect_options
from schemas.records.telemetry import Load, LoadSnapshot
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import GRANULARITIES, WIDTHS, floor_to
from streams.rollups.job import CLOSED_AFTER, RollUp
from streams.sink.telemetry_store import snapshot_store
from tests.support.readings import NOON, reading, stores
from tests.support.rest import api, assert_problem
from tests.support.rollups import HOLD_SECONDS, rolling, some

SPAN = timedelta(hours=3)


def means(rows: Iterable[Any], width: timedelta) -> dict[datetime, tuple[float | None, float | None]]:
    """Of one VEN: mean used and shed power by bucket, of its samples that tell it."""
    buckets: defaultdict[datetime, list[Any]] = defaultdict(list)
    for row in rows:
        buckets[floor_to(row["time"], width)].append(row)
    found = {}
    for begun, samples in buckets.items():
        used = [row["used_power_kw"] for row in samples if row["used_power_kw"] is not None]
        shed = [row["shed_power_kw"] for row in samples if row["shed_power_kw"] is not None]
        if used or shed:
            found[begun] = (fmean(used) if used else None, fmean(shed) if shed else None)
    return found


def of_network(rows: Iterable[Any], width: timedelta) -> dict[datetime, tuple[float | None, float | None]]:
    """Sums over VENs of their means."""
    by_ven: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_ven[row["ven_id"]].append(row)
    used: defaultdict[datetime, float] = defaultdict(float)
    shed: defaultdict[datetime, float] = defaultdict(float)
    for mine in by_ven.values():
        buckets: defaultdict[datetime, list[Any]] = defaultdict(list)
        for row in mine:
            buckets[floor_to(row["time"], width)].append(row)
        for begun, samples in buckets.items():
            for total, name in ((used, "used_power_kw"), (shed, "shed_power_kw")):
                values = [row[name] for row in samples if row[name] is not None]
                if values:
                    total[begun] += fmean(values)
    return {begun: (used.get(begun), shed.get(begun)) for begun in used.keys() | shed.keys()}


def points(rows: Iterable[Any]) -> dict[datetime, tuple[float | None, float | None]]:
    return {row["timestamp"]: (row["used_power_kw"], row["shed_power_kw"]) for row in rows}


def interval(choose: random.Random) -> tuple[datetime, datetime]:
    """Aligned to something or to nothing."""
    start, end = sorted(NOON + SPAN * choose.uniform(-0.1, 1.1) for _ in range(2))
    grid = choose.choice([timedelta(microseconds=1), timedelta(seconds=1), *WIDTHS.values()])
    return floor_to(start, grid), floor_to(end, grid)


@pytest.mark.parametrize("seed", range(4))
async def test_histories_are_those_of_the_readings(database: DatabaseSettings, rows: Connection, seed: int) -> None:
    choose = random.Random(seed)
    async with (
        rolling(database, NOON) as (store, rollup),
        asyncpg.create_pool(**connect_options(database, "test"), min_size=1) as pool,
    ):
        for _ in range(3):
            await store.readings.store(some(choose, 150, SPAN / timedelta(hours=1)))
            now = NOON + SPAN * choose.uniform(0, 1) + CLOSED_AFTER
            await rollup.step(now)
            late = choose.random() < 0.5
            if late:
                await store.readings.store(some(choose, 30, SPAN / timedelta(hours=1)))
            while not late and await rows.fetchval("SELECT count(*) FROM network_stale"):
                await rollup.step(now)
            readings = await rows.fetch("SELECT * FROM telemetry_readings")
            for granularity in GRANULARITIES:
                start, end = interval(choose)
                inside = [row for row in readings if start <= row["time"] < end]
                mine = [row for row in inside if row["ven_id"] == "ven-1"]
                found = points(await fetch_ven_history(pool, "ven-1", start, end, granularity))
                assert found == approximately(means(mine, WIDTHS[granularity])), (granularity, start, end)
                if not late:
                    found = points(await fetch_network_history(pool, start, end, granularity))
                    assert found == approximately(of_network(inside, WIDTHS[granularity])), (granularity, start, end)


async def test_the_smallest_numbers_stop_no_rolling_up_and_no_history(database: DatabaseSettings) -> None:
    """PostgreSQL calls their mean an underflow, and does nothing at all then: of all VENs, in the rollups."""
    end = NOON + timedelta(hours=1)
    async with (
        rolling(database, NOON) as (store, rollup),
        asyncpg.create_pool(**connect_options(database, "test"), min_size=1) as pool,
    ):
        tiny = [reading("ven-1", second, used_power_kw=5e-324 * second, shed_power_kw=-5e-324) for second in range(3)]
        await store.readings.store([*tiny, reading("ven-2", 1, used_power_kw=2.0, shed_power_kw=1.0)])
        assert points(await fetch_ven_history(pool, "ven-1", NOON, end, "1h")) == {NOON: (0.0, 0.0)}
        await rollup.step(end + CLOSED_AFTER)
        for granularity in ("1h", "5m"):
            assert points(await fetch_ven_history(pool, "ven-1", NOON, end, granularity)) == {NOON: (0.0, 0.0)}
            assert points(await fetch_network_history(pool, NOON, end, granularity)) == {NOON: (2.0, 1.0)}


def approximately(expected: dict[datetime, tuple[float | None, float | None]]) -> Any:
    return {begun: pytest.approx(values, abs=1e-9) for begun, values in expected.items()}


async def test_the_history_of_a_ven_over_rest(database: DatabaseSettings) -> None:
    async with stores(database) as store, api(database) as client:
        await store.readings.store(
            [
                reading("ven-1", 0, used_power_kw=1.0),
                reading("ven-1", 5, used_power_kw=3.0, shed_power_kw=1.0, event_id="evt-1", requested_reduction_kw=2.0),
                reading("ven-1", 600, used_power_kw=5.0, event_id=None),
            ]
        )
        at = {"start": NOON.isoformat(), "end": (NOON + timedelta(hours=1)).isoformat()}
        for path in ("/api/vens/ven-1/history", "/api/vens/ven-1/history/"):
            answer = await client.get(path, params=at)
            assert answer.json() == {
                "points": [
                    {
                        "timestamp": _z(NOON),
                        "usedPowerKw": 2.0,
                        "shedPowerKw": 1.0,
                        "eventId": "evt-1",
                        "requestedReductionKw": 2.0,
                    },
                    {"timestamp": _z(NOON + timedelta(minutes=10)), "usedPowerKw": 5.0, "shedPowerKw": None},
                ]
            }
        half_open = {"start": NOON.isoformat(), "end": (NOON + timedelta(seconds=5)).isoformat()}
        answer = await client.get("/api/vens/ven-1/history", params={**half_open, "granularity": "30s"})
        assert answer.json() == {"points": [{"timestamp": _z(NOON), "usedPowerKw": 1.0, "shedPowerKw": None}]}
        # Yesterday's readings have come late, and are in the network's buckets once they are rolled up.
        await RollUp(store.database, store.partitions, HOLD_SECONDS).step()
        answer = await client.get("/api/stats/network/history", params={**at, "granularity": "1h"})
        assert answer.json()["points"] == [
            {"timestamp": _z(NOON), "usedPowerKw": pytest.approx(3.0), "shedPowerKw": pytest.approx(1.0)}
        ]


async def test_loads_of_readings_and_snapshots_together(database: DatabaseSettings) -> None:
    def loads(power: float) -> tuple[Load, ...]:
        return (Load("hvac", "HVAC", "hvac", 7.0, power, power / 2), Load("pv", None, None, 5.0, -power, 0.0))

    async with stores(database) as store, api(database) as client:
        await store.readings.store([reading("ven-1", 0, loads=loads(1.0)), reading("ven-1", 10, loads=loads(3.0))])
        snapshots = [
            LoadSnapshot(
                ven_id="ven-1", timestamp=NOON + timedelta(seconds=second), received_at=NOON, loads=loads(power)
            )
            # One of them at the second of a reading.
            for second, power in ((10.4, 99.0), (20, 8.0))
        ]
        await snapshot_store(store.database, store.partitions).store(snapshots)
        at = {"start": NOON.isoformat(), "end": (NOON + timedelta(hours=1)).isoformat()}
        answer = (await client.get("/api/vens/ven-1/loads/hvac/history", params=at)).json()
        assert answer == {"points": [{"timestamp": _z(NOON), "usedPowerKw": 4.0, "shedPowerKw": 2.0}]}
        answer = (await client.get("/api/vens/ven-1/circuits/history", params={**at, "load_id": "hvac"})).json()
        assert (answer["venId"], answer["loadId"], answer["totalCount"]) == ("ven-1", "hvac", 3)
        assert [row["currentPowerKw"] for row in answer["snapshots"]] == [1.0, 3.0, 8.0]
        answer = (await client.get("/api/vens/ven-1/circuits/history", params={**at, "limit": 2})).json()
        assert answer["totalCount"] == 6
        assert [(row["loadId"], row["timestamp"]) for row in answer["snapshots"]] == [
            ("hvac", _z(NOON + timedelta(seconds=20))),
            ("pv", _z(NOON + timedelta(seconds=20))),
        ]


@pytest.mark.parametrize(
    "query",
    [
        {"granularity": "2m"},
        {"start": "soon"},
        {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "2020-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "granularity": "30s"},
    ],
)
async def test_what_cannot_be_answered_is_refused(database: DatabaseSettings, query: dict[str, str]) -> None:
    async with stores(database) as store, api(database) as client:
        await store.readings.store([reading("ven-1")])
        for path in ("/api/vens/ven-1/history", "/api/vens/ven-1/loads/hvac/history", "/api/stats/network/history"):
            assert_problem(await client.get(path, params=query), 422)
        for path in (
            "/api/vens/nobody/history",
            "/api/vens/nobody/loads/x/history",
            "/api/vens/nobody/circuits/history",
        ):
            assert_problem(await client.get(path), 404)


def _z(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def test_the_bucket_under_way_is_made_once_for_all_who_ask(
    database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.services.open_buckets.FRESH_SECONDS", 60.0)
    now = datetime.now(UTC)
    async with stores(database) as store, api(database) as client:
        await store.readings.store([reading("ven-1", timestamp=now, received_at=now, used_power_kw=4.0)])
        answers = await asyncio.gather(*(client.get("/api/stats/network/history") for _ in range(5)))
        assert [answer.json()["points"][-1]["usedPowerKw"] for answer in answers] == [4.0] * 5
        # For a moment it is the same one; an interval that has an end is looked at itself.
        await store.readings.store([reading("ven-2", timestamp=now, received_at=now, used_power_kw=1.0)])
        answer = await client.get("/api/stats/network/history")
        assert answer.json()["points"][-1]["usedPowerKw"] == 4.0
        answer = await client.get("/api/stats/network/history", params={"end": datetime.now(UTC).isoformat()})
        assert answer.json()["points"][-1]["usedPowerKw"] == 5.0
