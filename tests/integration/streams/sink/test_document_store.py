"""Device shadows and VTN messages in PostgreSQL."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from runtime.database import Connection
from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.parsing.shadow import Shadow
from schemas.parsing.vtn_messages import VtnMessage
from tests.support.readings import NOON, Stores, at, stores
from tests.support.servers import Databases, connect

NUMBERS = count(1)
MIDNIGHT = NOON.replace(hour=0)


class SinkWorker(NamedTuple):
    """One database for this file; each test has a VEN of its own."""

    store: Stores
    rows: Connection

    async def shadow(self, ven_id: str) -> tuple[datetime | None, datetime, Any]:
        row = await self.rows.fetchrow("SELECT * FROM ven_shadows WHERE ven_id = $1", ven_id)
        assert row is not None
        return row["measured_at"], row["received_at"], json.loads(row["document"])

    async def vtn_messages(self, ven_id: str) -> list[tuple[datetime, datetime, datetime]]:
        select = "SELECT time, received_at, last_received_at FROM notices WHERE ven_id = $1 ORDER BY time"
        return [tuple(row) for row in await self.rows.fetch(select, ven_id)]


@pytest_asyncio.fixture(scope="module")
async def worker(databases: Databases) -> AsyncIterator[SinkWorker]:
    settings = await databases.migrated()
    rows = await connect(settings)
    async with stores(settings) as store:
        yield SinkWorker(store, rows)
    await rows.close()


@pytest.fixture
def ven_id() -> str:
    return f"ven-{next(NUMBERS)}"


def shadow(ven_id: str, name: str, received: float, measured: float | None = None) -> Shadow:
    timestamp = None if measured is None else at(measured)
    return Shadow(ven_id=ven_id, timestamp=timestamp, received_at=at(received), document={"name": name})


def vtn_message(ven_id: str, received_at: datetime, kind: Kind = Kind.RESPONSES, **fields: Any) -> VtnMessage:
    payload = json.dumps({"ven_id": ven_id, "response": "ack", **fields}).encode()
    outcome = parse(kind, payload, Source(f"openadr/{kind}", received_at))
    assert isinstance(outcome, Parsed)
    assert isinstance(outcome.record, VtnMessage)
    return outcome.record


async def test_last_received_shadow_is_stored(worker: SinkWorker, ven_id: str) -> None:
    await worker.store.shadows.store([shadow(ven_id, "first", 12, 10), shadow(ven_id, "last", 20, -1e9)])
    assert await worker.shadow(ven_id) == (at(-1e9), at(20), {"name": "last"})
    await worker.store.shadows.store([shadow(ven_id, "timeless", 30)])
    assert await worker.shadow(ven_id) == (None, at(30), {"name": "timeless"})
    # A replay has its first receive time.
    await worker.store.shadows.store([shadow(ven_id, "replayed", 25, 1e9)])
    assert await worker.shadow(ven_id) == (None, at(30), {"name": "timeless"})
    contact = await worker.rows.fetchval("SELECT received_at FROM ven_status WHERE ven_id = $1", ven_id)
    assert contact == at(30)


async def test_later_record_wins_between_shadows_of_one_time(worker: SinkWorker, ven_id: str) -> None:
    await worker.store.shadows.store([shadow(ven_id, "first", 10, 10), shadow(ven_id, "second", 10, 10)])
    assert (await worker.shadow(ven_id))[2] == {"name": "second"}
    await worker.store.shadows.store([shadow(ven_id, "third", 10, 10)])
    assert (await worker.shadow(ven_id))[2] == {"name": "third"}


async def test_repeated_vtn_message_is_one_row_per_day(worker: SinkWorker, ven_id: str) -> None:
    hours = [9, 7, 23, 7, 12]
    for hour in hours[:3]:
        await worker.store.vtn_messages.store([vtn_message(ven_id, MIDNIGHT + timedelta(hours=hour))])
    await worker.store.vtn_messages.store([vtn_message(ven_id, MIDNIGHT + timedelta(hours=hour)) for hour in hours[3:]])
    first, last = MIDNIGHT + timedelta(hours=7), MIDNIGHT + timedelta(hours=23)
    assert await worker.vtn_messages(ven_id) == [(MIDNIGHT, first, last)]
    tomorrow = MIDNIGHT + timedelta(days=1)
    await worker.store.vtn_messages.store(
        [vtn_message(ven_id, tomorrow), vtn_message(ven_id, tomorrow - timedelta(microseconds=1))]
    )
    assert await worker.vtn_messages(ven_id) == [
        (MIDNIGHT, first, tomorrow - timedelta(microseconds=1)),
        (tomorrow, tomorrow, tomorrow),
    ]


async def test_other_text_kind_or_time_is_another_vtn_message(worker: SinkWorker, ven_id: str) -> None:
    time = int(NOON.timestamp())
    await worker.store.vtn_messages.store(
        [
            vtn_message(ven_id, NOON),
            vtn_message(ven_id, NOON, response="nack"),
            vtn_message(ven_id, NOON, Kind.EVENTS),
            vtn_message(ven_id, NOON, ts=time),
            vtn_message(ven_id, NOON + timedelta(hours=1), ts=time),
            vtn_message(ven_id, NOON, ts=time + 1),
        ]
    )
    assert [time for time, _, _ in await worker.vtn_messages(ven_id)] == [*[MIDNIGHT] * 3, NOON, at(1)]
    found = await worker.rows.fetch("SELECT document FROM notices WHERE ven_id = $1 AND time = $2", ven_id, NOON)
    assert [json.loads(row["document"]) for row in found] == [{"ven_id": ven_id, "response": "ack", "ts": time}]


async def test_vtn_message_without_ven_or_with_odd_text_is_stored(worker: SinkWorker) -> None:
    payload = b'{"event":"\\u0000 \xf0\x9f\x94\x8c","n":1e308,"big":18446744073709551616,"ven_id":7}'
    outcome = parse(Kind.EVENTS, payload, Source("openadr/event\0", datetime.now(UTC)))
    assert isinstance(outcome, Parsed)
    await worker.store.vtn_messages.store([outcome.record, outcome.record])
    (row,) = await worker.rows.fetch("SELECT * FROM notices WHERE ven_id IS NULL")
    assert json.loads(row["document"])["event"] == "\N{REPLACEMENT CHARACTER} \N{ELECTRIC PLUG}"
    assert row["topic"] == "openadr/event\N{REPLACEMENT CHARACTER}"
