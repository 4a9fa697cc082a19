"""Operators remove wrong readings, and everything derived from them is computed again."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import HOUR, MINUTE, floor_to
from streams.rollups.energy_today import STANDS_FOR
from tests.support.readings import FRIDGE, HVAC, NOON, at, reading, snapshot
from tests.support.rest import api, assert_problem
from tests.support.rollups import rolling

URL = "/api/vens/ven-1/telemetry"
WRONG = {"start": at(55).isoformat(), "end": at(65).isoformat()}

DERIVED = """
SELECT (SELECT sum(used_kwh) FROM telemetry_minutes) AS minutes, (SELECT sum(used_kwh) FROM telemetry_hours) AS hours,
       (SELECT used_kwh FROM energy_days) AS day, (SELECT shown_kwh FROM energy_days) AS shown,
       (SELECT used_power_kw FROM network_buckets WHERE granularity = '1h' AND time = $1) AS network
"""
INSERT_EVENT = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, started_at, closed_at, settled_at)
VALUES ($1, $2::timestamptz, $2 + interval '10 minutes', 5, $2, $2 + interval '10 minutes', now())
"""
INSERT_TARGET = "INSERT INTO event_vens (event_id, ven_id, reason) VALUES ($1, $2, 'reported')"


async def derived(rows: Connection) -> dict[str, Any]:
    row = await rows.fetchrow(DERIVED, NOON)
    assert row is not None
    return dict(row)


async def test_everything_derived_forgets_removed_readings(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup), api(database) as client:
        await store.readings.store(
            [
                reading("ven-1", 0, used_power_kw=6.0),
                reading("ven-1", 60, used_power_kw=60_000.0, loads=(HVAC,)),
                reading("ven-1", 120, used_power_kw=6.0),
                reading("ven-1", 600, used_power_kw=0.0),
            ]
        )
        await store.snapshots.store([snapshot("ven-1", 61, None, HVAC), snapshot("ven-1", 66, None, HVAC)])
        await rollup.step(NOON + HOUR + MINUTE)
        await rollup.step(NOON + HOUR + MINUTE + STANDS_FOR)
        assert (await derived(rows))["shown"] > 1000
        await rows.execute("DELETE FROM outbox")

        removed = await client.request("DELETE", URL, params=WRONG)
        assert removed.json() == {"removedReadings": 1, "removedLoadSnapshots": 1}
        await rollup.step(NOON + HOUR + MINUTE + timedelta(seconds=1))

        assert await derived(rows) == pytest.approx(
            {"minutes": 1.0, "hours": 1.0, "day": 1.0, "shown": 1.0, "network": 4.0}
        )
        queued = await rows.fetch("SELECT time FROM outbox WHERE kind = 'minute' ORDER BY time")
        assert [row["time"] for row in queued] == [at(60), at(120)]
        history = (
            await client.get("/api/vens/ven-1/history", params={"start": str(at(0)), "end": str(at(240))})
        ).json()
        assert [point["usedPowerKw"] for point in history["points"]] == [6.0]
        circuits = (await client.get("/api/vens/ven-1/circuits/history", params={"start": str(at(0))})).json()
        assert circuits["totalCount"] == 1
        again = await client.request("DELETE", URL, params=WRONG)
        assert again.json() == {"removedReadings": 0, "removedLoadSnapshots": 0}


async def test_a_removed_power_no_longer_holds(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, rollup), api(database) as client:
        await store.readings.store([reading("ven-1", 60, used_power_kw=60.0)])
        await rollup.step(NOON + HOUR + MINUTE)
        await client.request("DELETE", URL, params=WRONG)
        await rollup.step(NOON + HOUR + MINUTE + timedelta(seconds=1))
        assert await derived(rows) == {"minutes": None, "hours": None, "day": 0.0, "shown": 0.0, "network": None}


async def test_a_ven_shows_the_newest_values_that_are_left(database: DatabaseSettings) -> None:
    async with rolling(database, NOON) as (store, _), api(database) as client:
        await store.readings.store([reading("ven-1", 0, used_power_kw=6.0, loads=(HVAC, FRIDGE))])
        await store.snapshots.store([snapshot("ven-1", 61, None, HVAC)])
        await store.readings.store([reading("ven-1", 60, used_power_kw=60_000.0, event_id="evt-1")])
        await client.request("DELETE", URL, params=WRONG)
        ven = (await client.get("/api/vens/ven-1")).json()
        assert (ven["metrics"]["currentPowerKw"], ven["metrics"]["activeEventId"]) == (6.0, None)
        assert ven["measuredAt"] == at(0).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert [load["id"] for load in ven["loads"]] == ["fridge", "hvac"]
        assert ven["lastSeen"] == at(61).strftime("%Y-%m-%dT%H:%M:%SZ")

        await client.request("DELETE", URL, params={"start": str(at(0)), "end": str(at(1))})
        ven = (await client.get("/api/vens/ven-1")).json()
        assert (ven["metrics"]["currentPowerKw"], ven["measuredAt"], ven["loads"]) == (0.0, None, [])
        await store.readings.store([reading("ven-1", 30, used_power_kw=2.0)])
        assert (await client.get("/api/vens/ven-1")).json()["metrics"]["currentPowerKw"] == 2.0


async def test_events_of_the_time_are_settled_again(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, _), api(database) as client:
        await store.readings.store([reading("ven-1", 60), reading("ven-2", 60)])
        for event_id, begin, ven_id in (
            ("during", at(0), "ven-1"),
            ("other-ven", at(0), "ven-2"),
            ("long-before", at(-3 * 86_400), "ven-1"),
        ):
            await rows.execute(INSERT_EVENT, event_id, begin)
            await rows.execute(INSERT_TARGET, event_id, ven_id)
        assert (await client.request("DELETE", URL, params=WRONG)).status_code == 200
    unsettled = await rows.fetch("SELECT event_id FROM events WHERE settled_at IS NULL")
    assert [row["event_id"] for row in unsettled] == ["during"]


async def test_a_range_of_days_is_removed_in_pieces(database: DatabaseSettings, rows: Connection) -> None:
    async with rolling(database, NOON) as (store, _), api(database) as client:
        await store.readings.store([reading("ven-1", -hour * 3600) for hour in range(0, 49, 7)])
        whole = {"start": "2001-01-01T00:00:00Z", "end": (NOON + MINUTE).isoformat()}
        assert (await client.request("DELETE", URL, params=whole)).json()["removedReadings"] == 7
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 0
    entry = await rows.fetchrow("SELECT outcome, result FROM audit WHERE method = 'DELETE'")
    assert entry is not None
    assert entry["outcome"] == "done"
    assert entry["result"].startswith("7 readings from 2001-01-01T00:00:00+00:00 to ")


@pytest.mark.parametrize(
    "query",
    [{}, {"start": WRONG["start"]}, {"end": WRONG["end"]}, {"start": WRONG["end"], "end": WRONG["end"]}],
    ids=["no-bounds", "no-end", "no-start", "empty"],
)
async def test_a_removal_needs_both_bounds(database: DatabaseSettings, rows: Connection, query: dict[str, str]) -> None:
    await rows.execute("INSERT INTO vens (ven_id, name) VALUES ('ven-1', 'x')")
    async with api(database) as client:
        assert_problem(await client.request("DELETE", URL, params=query), 422)
        assert_problem(await client.request("DELETE", "/api/vens/nobody/telemetry", params=WRONG), 404)


async def test_a_new_report_interval_recomputes_this_day(database: DatabaseSettings, rows: Connection) -> None:
    now = await rows.fetchval("SELECT now()")
    midnight = floor_to(now, timedelta(days=1))
    async with rolling(database, midnight) as (store, rollup), api(database) as client:
        await store.readings.store(
            [
                reading("ven-1", timestamp=midnight, received_at=now, used_power_kw=10.0),
                reading("ven-1", timestamp=midnight + 59 * MINUTE, received_at=now, used_power_kw=0.0),
            ]
        )
        await rollup.step(midnight + 2 * HOUR)
        assert await rows.fetchval("SELECT used_kwh FROM energy_days") == pytest.approx(10 / 3)
        await client.patch("/api/vens/ven-1", json={"reportIntervalSeconds": 3600})
        await rollup.step(midnight + 2 * HOUR)
    assert await rows.fetchval("SELECT used_kwh FROM energy_days") == pytest.approx(10 * 59 / 60)
