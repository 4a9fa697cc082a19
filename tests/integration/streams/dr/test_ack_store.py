"""Acknowledgements as rows: both generations, once each, with figures that clients can compute with."""

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from runtime.database import Connection
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import Ack
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import Load
from schemas.settings.blocks import DatabaseSettings
from tests.support.readings import NOON, Stores, ack, at, reading, snapshot, stores
from tests.support.servers import Databases, connect

NUMBERS = count(1)
STAMP = int(NOON.timestamp())


class AckDb(NamedTuple):
    """One database for this file; each test has a VEN of its own."""

    settings: DatabaseSettings
    store: Stores
    rows: Connection

    async def acks(self, ven_id: str) -> list[dict[str, Any]]:
        found = await self.rows.fetch("SELECT * FROM ven_acks WHERE ven_id = $1 ORDER BY time, op", ven_id)
        return [{**row, "circuits": json.loads(row["circuits"])} for row in found]

    async def circuits(self, ven_id: str) -> list[dict[str, Any]]:
        (row,) = await self.acks(ven_id)
        circuits: list[dict[str, Any]] = row["circuits"]
        return circuits


@pytest_asyncio.fixture(scope="module")
async def bench(databases: Databases) -> AsyncIterator[AckDb]:
    settings = await databases.migrated()
    rows = await connect(settings)
    async with stores(settings) as store:
        yield AckDb(settings, store, rows)
    await rows.close()


@pytest.fixture
def ven_id() -> str:
    return f"ven-{next(NUMBERS)}"


def said(ven_id: str, document: dict[str, Any]) -> Ack:
    """What a payload becomes, as the sink gets it."""
    outcome = parse(Kind.ACKS, json.dumps(document).encode(), Source(f"ven/ack/{ven_id}", at(1)))
    assert isinstance(outcome, Parsed), outcome
    assert isinstance(outcome.record, Ack)
    return outcome.record


def load(name: str, power: float | None) -> Load:
    return Load(name, current_power_kw=power)


async def test_an_ack_of_the_first_generation_is_stored(bench: AckDb, ven_id: str) -> None:
    circuit = {
        "id": "ev1",
        "name": "EV Charger",
        "breaker_amps": 50,
        "original_kw": 8.5,
        "curtailed_kw": 8.499999999999998,
        "final_kw": 0.0,
        "critical": False,
    }
    document = {
        "op": "event",
        "status": "accepted",
        "event_id": "evt-123",
        "correlationId": "evt-evt-123-ab12cd34",
        "requested_shed_kw": 5.0,
        "actual_shed_kw": 4.8,
        "circuits_curtailed": [circuit],
        "ts": STAMP,
    }
    await bench.store.acks.store([said(ven_id, document)])
    (row,) = await bench.acks(ven_id)
    assert row == {
        "ven_id": ven_id,
        "time": NOON,
        "op": "event",
        "correlation_id": "evt-evt-123-ab12cd34",
        "received_at": at(1),
        "status": "accepted",
        "event_id": "evt-123",
        "requested_shed_kw": 5.0,
        "actual_shed_kw": 4.8,
        "circuits": [circuit],
        "error": None,
        "extra": None,
        "device_time": None,
        "timed_by_arrival": False,
    }
    assert await bench.rows.fetchval("SELECT received_at FROM ven_status WHERE ven_id = $1", ven_id) == at(1)


async def test_an_ack_of_the_second_generation_is_stored(bench: AckDb, ven_id: str) -> None:
    data = {"limitKw": 1.0, "eventId": "evt-9"}
    common = {"venId": ven_id, "ts": STAMP, "data": data}
    await bench.store.acks.store(
        [
            said(ven_id, {"op": "shedLoad", "ok": True, "correlationId": "a", **common}),
            said(ven_id, {"op": "shedPanel", "ok": False, "error": "no such load", "correlationId": "b", **common}),
        ]
    )
    done, failed = await bench.acks(ven_id)
    assert (done["op"], done["status"], done["event_id"], done["error"]) == ("shedLoad", "success", "evt-9", None)
    assert (failed["op"], failed["status"], failed["error"]) == ("shedPanel", "failed", "no such load")
    assert json.loads(done["extra"]) == {"data": data}
    assert done["circuits"] == failed["circuits"] == []


async def test_an_ack_counts_once_by_its_natural_key(bench: AckDb, ven_id: str) -> None:
    one = ack(ven_id=ven_id)
    others = [
        ack(ven_id=ven_id, op="ping"),
        ack(ven_id=ven_id, correlation_id=""),
        ack(1, ven_id=ven_id),
        ack(ven_id=f"{ven_id}-b"),
    ]
    later = ack(ven_id=ven_id, status="said otherwise", received_at=at(60))
    await bench.store.acks.store([one, *others, one, later])
    before = await bench.acks(ven_id)
    assert len(before) == 4
    # Also by a worker that has not stored them a moment ago.
    await bench.store.acks.store([later, ack(ven_id=ven_id, correlation_id="", status="otherwise")])
    async with stores(bench.settings) as another:
        await another.acks.store([later, *others])
        await another.acks.store([ack(ven_id=ven_id, correlation_id="", status="otherwise", received_at=at(90))])
    assert await bench.acks(ven_id) == before
    assert {row["status"] for row in before} == {"accepted"}
    assert await bench.rows.fetchval("SELECT received_at FROM ven_status WHERE ven_id = $1", ven_id) == at(90)


def shed(ven_id: str, *circuits: dict[str, Any], second: int = 10) -> Ack:
    document = {"op": "event", "status": "accepted", "ts": STAMP + second, "circuitsCurtailed": list(circuits)}
    return said(ven_id, document)


async def test_original_power_is_the_last_one_before_the_ack(bench: AckDb, ven_id: str) -> None:
    await bench.store.readings.store(
        [
            reading(ven_id, 5, loads=(load("hvac", 3.0), load("ev", 7.0), load("pv", -2.0))),
            reading(ven_id, 11, loads=(load("hvac", 99.0), load("ev", 99.0))),
        ]
    )
    snapshots = [
        snapshot(ven_id, 8, None, load("hvac", 2.5), load("silent", None)),
        snapshot(ven_id, 2, None, load("ev", 98.0), load("silent", 1.5)),
    ]
    await bench.store.snapshots.store(snapshots)
    circuits = [
        {"loadId": "hvac", "name": "HVAC", "shedKw": 1.0},
        {"loadId": "ev", "shedKw": 9.0},
        {"loadId": "silent", "shedKw": 0.5},
        {"loadId": "unknown", "shedKw": 2.0},
        {"loadId": "pv", "shedKw": 1.0},
        {"id": "told", "original_kw": 4.0, "curtailed_kw": 1.5, "final_kw": 2.5},
    ]
    await bench.store.acks.store([shed(ven_id, *circuits)])
    found = {circuit["id"]: circuit for circuit in await bench.circuits(ven_id)}
    figures = {name: (c["original_kw"], c["curtailed_kw"], c["final_kw"]) for name, c in found.items()}
    assert figures == {
        "hvac": (2.5, 1.0, 1.5),
        "ev": (7.0, 9.0, 0.0),
        "silent": (1.5, 0.5, 1.0),
        "unknown": (2.0, 2.0, 0.0),
        "pv": (-2.0, 1.0, 0.0),
        "told": (4.0, 1.5, 2.5),
    }
    assert {name: circuit["name"] for name, circuit in found.items()} == {
        "hvac": "HVAC",
        **{name: name for name in ("ev", "silent", "unknown", "pv", "told")},
    }
    assert {circuit["critical"] for circuit in found.values()} == {False}


async def test_a_reading_wins_over_a_snapshot_of_the_same_time(bench: AckDb, ven_id: str) -> None:
    await bench.store.snapshots.store([snapshot(ven_id, 10, None, load("a", 8.0), load("b", 5.0))])
    await bench.store.readings.store([reading(ven_id, 10, loads=(load("a", 3.0),))])
    await bench.store.acks.store([shed(ven_id, {"loadId": "a", "shedKw": 1.0}, {"loadId": "b", "shedKw": 1.0})])
    assert [circuit["original_kw"] for circuit in await bench.circuits(ven_id)] == [3.0, 5.0]


async def test_other_vens_and_old_readings_are_ignored(bench: AckDb, ven_id: str) -> None:
    await bench.store.readings.store(
        [
            reading(ven_id, -3600, loads=(load("a", 3.0),)),
            reading(f"{ven_id}-b", 5, loads=(load("a", 4.0),)),
        ]
    )
    await bench.store.acks.store([shed(ven_id, {"loadId": "a", "shedKw": 1.0}, {"loadId": "b"})])
    figures = [(c["original_kw"], c["curtailed_kw"], c["final_kw"]) for c in await bench.circuits(ven_id)]
    assert figures == [(1.0, 1.0, 0.0), (0.0, 0.0, 0.0)]


async def test_a_repeated_ack_changes_nothing(bench: AckDb, ven_id: str) -> None:
    repeated = shed(ven_id, {"loadId": "a", "shedKw": 1.0})
    await bench.store.acks.store([repeated])
    before = await bench.acks(ven_id)
    await bench.store.readings.store([reading(ven_id, 9, loads=(load("a", 6.0),))])
    await bench.store.acks.store([repeated])
    async with stores(bench.settings) as another:
        await another.acks.store([repeated])
    assert await bench.acks(ven_id) == before
    assert before[0]["circuits"][0]["original_kw"] == 1.0


async def test_an_ack_of_a_day_without_a_partition_yet_is_stored(bench: AckDb, ven_id: str) -> None:
    await bench.store.acks.store([shed(ven_id, {"loadId": "a", "shedKw": 1.0}, second=-20 * 86_400)])
    assert len(await bench.acks(ven_id)) == 1


async def test_repeated_acks_with_an_impossible_time_count_once(bench: AckDb, ven_id: str) -> None:
    def impossible(second: float, **fields: Any) -> Ack:
        return ack(second, ven_id=ven_id, received_at=at(second), timed_by_arrival=True, device_time=at(-1e7), **fields)

    await bench.store.acks.store([impossible(0), impossible(5)])
    await bench.store.acks.store([impossible(9)])
    assert [row["time"] for row in await bench.acks(ven_id)] == [at(0)]
    # Another status is another word.
    await bench.store.acks.store([impossible(12, status="failed")])
    assert len(await bench.acks(ven_id)) == 2
