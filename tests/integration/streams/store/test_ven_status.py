"""The status of a VEN is the same for any order, batches and repeats of its records."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.database import Connection
from schemas.mqtt.routing import Kind
from schemas.parsing.shadow import Shadow
from schemas.parsing.status import VenStatus
from schemas.parsing.vtn_messages import VtnMessage
from schemas.records.telemetry import Load, LoadSnapshot, Reading
from schemas.settings.blocks import DatabaseSettings
from tests.support.readings import FRIDGE, HVAC, Stores, at, reading, snapshot, status, stores
from tests.support.servers import Databases, connect

NUMBERS = count(1)


class SinkWorker(NamedTuple):
    """One database for this file, and a sink worker's stores on it; each test has VENs of its own."""

    store: Stores
    rows: Connection

    async def store_mixed(self, batch: Sequence[Any]) -> None:
        """Store records of several kinds, those of one kind together, as the agents of the sink do."""
        stores: tuple[tuple[type, Any], ...] = (
            (Reading, self.store.readings),
            (LoadSnapshot, self.store.snapshots),
            (VenStatus, self.store.statuses),
        )
        for kind, store in stores:
            if mine := [record for record in batch if isinstance(record, kind)]:
                await store.store(mine)

    async def latest(self, ven_id: str) -> dict[str, Any]:
        row = await self.rows.fetchrow("SELECT * FROM ven_status WHERE ven_id = $1", ven_id)
        assert row is not None
        loads = None if row["loads"] is None else [load["id"] for load in json.loads(row["loads"])]
        return {**row, "loads": loads}

    async def registered(self, ven_id: str) -> str | None:
        name: str | None = await self.rows.fetchval("SELECT name FROM vens WHERE ven_id = $1", ven_id)
        return name


@pytest_asyncio.fixture(scope="module")
async def database(databases: Databases) -> DatabaseSettings:
    return await databases.migrated()


@pytest_asyncio.fixture(scope="module")
async def worker(database: DatabaseSettings) -> Any:
    rows = await connect(database)
    async with stores(database) as store:
        yield SinkWorker(store, rows)
    await rows.close()


@pytest.fixture
def ven_id() -> str:
    return f"ven-{next(NUMBERS)}"


async def test_late_reading_does_not_undo_a_last_will(worker: SinkWorker, ven_id: str) -> None:
    await worker.store_mixed([reading(ven_id, 0), status("offline", 10, ven_id)])
    found = await worker.latest(ven_id)
    assert (found["left_at"], found["received_at"], found["reading_received_at"]) == (at(10), at(10), at(0))
    assert (found["reported_status"], found["reported_at"]) == ("offline", at(10))
    await worker.store_mixed([reading(ven_id, 20)])
    # It was measured and received before the will, and comes now: a will is not undone by it.
    await worker.store_mixed([reading(ven_id, 5)])
    found = await worker.latest(ven_id)
    assert (found["left_at"], found["received_at"], found["reading_received_at"]) == (at(10), at(20), at(20))
    assert (found["measured_at"], found["reported_status"]) == (at(20), "offline")


async def test_late_status_does_not_replace_a_newer_one(worker: SinkWorker, ven_id: str) -> None:
    await worker.store_mixed([status("ready", 20, ven_id)])
    await worker.store_mixed([status("offline", 10, ven_id), status("rebooting", 15, ven_id)])
    found = await worker.latest(ven_id)
    assert (found["reported_status"], found["reported_at"]) == ("ready", at(20))
    assert (found["left_at"], found["received_at"]) == (at(10), at(20))


async def test_loads_come_from_the_latest_reading_or_snapshot(worker: SinkWorker, ven_id: str) -> None:
    await worker.store_mixed([reading(ven_id, 10, loads=(HVAC,))])
    await worker.store_mixed([snapshot(ven_id, 5, 30, FRIDGE)])
    found = await worker.latest(ven_id)
    assert (found["loads"], found["loads_measured_at"], found["received_at"]) == (["hvac"], at(10), at(30))
    await worker.store_mixed([snapshot(ven_id, 40, 41, FRIDGE, HVAC)])
    await worker.store_mixed([reading(ven_id, 35, loads=(HVAC,)), reading(ven_id, 50)])
    found = await worker.latest(ven_id)
    assert (found["loads"], found["loads_measured_at"]) == (["fridge", "hvac"], at(40))
    # A snapshot is no reading: it makes nobody online, and measures no power of the home.
    assert (found["measured_at"], found["reading_received_at"], found["used_power_kw"]) == (at(50), at(50), 1.0)
    await worker.store_mixed([snapshot(ven_id, 60)])
    assert (await worker.latest(ven_id))["loads"] == []


@pytest.mark.parametrize("reading_first", [True, False])
async def test_reading_wins_over_snapshot_of_the_same_second(
    worker: SinkWorker, ven_id: str, *, reading_first: bool
) -> None:
    both = [reading(ven_id, 10, loads=(HVAC,)), snapshot(ven_id, 10, None, FRIDGE)]
    for record in both if reading_first else reversed(both):
        await worker.store_mixed([record])
    assert (await worker.latest(ven_id))["loads"] == ["hvac"]


async def test_late_and_future_samples_do_not_refresh_contact(worker: SinkWorker, ven_id: str) -> None:
    future = reading(ven_id, 240, received_at=at(0), clock_skew_seconds=-240.0)
    await worker.store_mixed([future])
    found = await worker.latest(ven_id)
    assert (found["received_at"], found["reading_received_at"]) == (at(0), at(0))
    assert (found["measured_at"], found["sampled_at"], found["clock_skew_seconds"]) == (at(240), at(0), -240.0)
    # A day late, taken in by an old record of the log: heard when it was received, which is no news.
    await worker.store_mixed([reading(ven_id, -86_400, received_at=at(-3600))])
    assert await worker.latest(ven_id) == found


async def test_a_corrected_clock_does_not_hold_values_back(worker: SinkWorker, ven_id: str) -> None:
    await worker.store_mixed([reading(ven_id, 240, received_at=at(0), used_power_kw=1.0, clock_skew_seconds=-240.0)])
    await worker.store_mixed([reading(ven_id, 5, used_power_kw=2.0)])
    found = await worker.latest(ven_id)
    assert (found["used_power_kw"], found["used_power_at"], found["measured_at"]) == (2.0, at(5), at(5))
    assert (found["clock_skew_seconds"], found["min_clock_skew"], found["max_clock_skew"]) == (0.0, -240.0, 0.0)


async def test_what_a_sample_does_not_tell_stays(worker: SinkWorker, ven_id: str) -> None:
    full = reading(ven_id, 10, used_power_kw=5.0, shed_power_kw=2.0, event_id="evt-1", requested_reduction_kw=3.0)
    await worker.store_mixed([full])
    await worker.store_mixed([reading(ven_id, 20, used_power_kw=None, battery_soc=0.8)])
    found = await worker.latest(ven_id)
    assert (found["used_power_kw"], found["used_power_at"]) == (5.0, at(10))
    assert (found["shed_power_kw"], found["shed_power_at"], found["event_id"]) == (2.0, at(10), "evt-1")
    assert (found["battery_soc"], found["battery_soc_at"], found["sampled_at"]) == (0.8, at(20), at(20))


def vtn_message(kind: Kind, ven_id: str | None) -> VtnMessage:
    return VtnMessage(
        kind=kind, topic="t", ven_id=ven_id, timestamp=at(0), received_at=at(1), digest=f"{kind}{ven_id}", document={}
    )


async def test_every_kind_but_vtn_events_registers_a_ven(worker: SinkWorker) -> None:
    shadow = Shadow(ven_id="by-shadow", received_at=at(0), document={})
    await worker.store.snapshots.store([snapshot("by-snapshot", 0, None, HVAC), snapshot("by-no-loads", 0)])
    await worker.store.statuses.store([status("ready", 0, "by-status"), status("offline", 0, "by-will")])
    await worker.store.shadows.store([shadow])
    await worker.store.vtn_messages.store(
        [vtn_message(Kind.RESPONSES, "by-response"), vtn_message(Kind.RESPONSES, None)]
    )
    await worker.store.vtn_messages.store([vtn_message(Kind.EVENTS, "by-event")])
    for name in ("by-snapshot", "by-no-loads", "by-status", "by-will", "by-shadow", "by-response"):
        assert await worker.registered(name) == f"Auto-registered VEN {name}", name
        assert (await worker.latest(name))["reading_received_at"] is None
    assert await worker.registered("by-event") is None
    assert await worker.rows.fetchval("SELECT count(*) FROM ven_status WHERE ven_id = 'by-event'") == 0


def reference(records: Sequence[Any], ven_id: str) -> dict[str, Any]:
    """The contract, from all records at once."""
    readings = [record for record in records if isinstance(record, Reading)]
    said = [record for record in records if isinstance(record, VenStatus)]
    lists = [record for record in records if not isinstance(record, VenStatus) and record.loads is not None]

    def last(records: Sequence[Any], *clock: str) -> Any:
        return max(records, key=lambda record: [getattr(record, name) for name in clock], default=None)

    measured, heard, spoke = last(readings, "timestamp"), last(readings, "received_at"), last(said, "received_at")
    used, shed, battery = (
        last([reading for reading in readings if getattr(reading, name) is not None], "timestamp")
        for name in ("used_power_kw", "shed_power_kw", "battery_soc")
    )
    stated = last([r for r in readings if r.shed_power_kw is not None or r.event_id is not None], "timestamp")
    # Of two lists of one second that of the reading counts.
    listed = max(lists, key=lambda record: (record.timestamp, isinstance(record, Reading)), default=None)
    left = last([record for record in said if record.status == "offline"], "received_at")
    return {
        "ven_id": ven_id,
        "received_at": last(records, "received_at").received_at,
        "reading_received_at": heard and heard.received_at,
        "measured_at": measured and measured.timestamp,
        "sampled_at": measured and measured.timestamp,
        "clock_skew_seconds": measured and 0.0,
        "min_clock_skew": 0.0,
        "max_clock_skew": 0.0,
        "used_power_kw": used and used.used_power_kw,
        "used_power_at": used and used.timestamp,
        "shed_power_kw": shed and shed.shed_power_kw,
        "shed_power_at": shed and shed.timestamp,
        "shed_event_id": shed and shed.event_id,
        "event_id": stated and stated.event_id,
        "event_at": stated and stated.timestamp,
        "requested_reduction_kw": None,
        "battery_soc": battery and battery.battery_soc,
        "battery_soc_at": battery and battery.timestamp,
        "loads_measured_at": listed and listed.timestamp,
        "loads": listed and [load.id for load in listed.loads],
        "reported_status": spoke and spoke.status,
        "reported_at": spoke and spoke.received_at,
        "left_at": left and left.received_at,
    }


SECONDS = st.integers(0, 3)
LOADS = st.lists(st.sampled_from("abc").map(Load), max_size=2, unique_by=lambda load: load.id).map(tuple)
READINGS = st.builds(
    lambda second, late, **values: reading("", second, received_at=at(second + late), **values),
    SECONDS,
    SECONDS,
    used_power_kw=st.none() | st.integers(0, 9).map(float),
    shed_power_kw=st.none() | st.integers(0, 9).map(float),
    event_id=st.none() | st.sampled_from(["evt-1", "evt-2"]),
    loads=st.none() | LOADS,
)
SNAPSHOTS = st.builds(lambda second, late, loads: snapshot("", second, second + late, *loads), SECONDS, SECONDS, LOADS)
STATUSES = st.builds(status, st.sampled_from(["ready", "offline"]), SECONDS.map(lambda second: second + 0.5))


def identity(record: Any) -> tuple[type, datetime]:
    """What tells records apart: of two with one identity the first counts, so here are none."""
    return type(record), record.received_at if isinstance(record, VenStatus) else record.timestamp


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Any], list[list[Any]]]:
    """Some records, and the batches in which they arrive: in any order, and some of them more than once."""
    records = draw(st.lists(READINGS | SNAPSHOTS | STATUSES, min_size=1, max_size=8, unique_by=identity))
    again = draw(st.lists(st.sampled_from(records), max_size=3))
    arriving = draw(st.permutations([*records, *again]))
    cuts = sorted(draw(st.lists(st.integers(1, len(arriving)), max_size=6)))
    return records, [arriving[start:end] for start, end in zip([0, *cuts], [*cuts, len(arriving)], strict=True)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
async def test_order_batches_and_repeats_do_not_matter(
    worker: SinkWorker, history: tuple[list[Any], list[list[Any]]]
) -> None:
    records, batches = history
    ven_id = f"ven-{next(NUMBERS)}"
    for batch in batches:
        await worker.store_mixed([_of(record, ven_id) for record in batch])
    assert await worker.latest(ven_id) == reference(records, ven_id)
    stored = await worker.rows.fetchval("SELECT count(*) FROM telemetry_readings WHERE ven_id = $1", ven_id)
    assert stored == len([record for record in records if isinstance(record, Reading)])


def _of(record: Any, ven_id: str) -> Any:
    return type(record)(**{name: getattr(record, name) for name in record.__struct_fields__} | {"ven_id": ven_id})
