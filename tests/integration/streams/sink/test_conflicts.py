"""Two different messages of one VEN and time: the first is stored, the second is a dead letter and changes nothing."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest_asyncio
from aiokafka import AIOKafkaProducer, ConsumerRecord
from faust.types import TP

from runtime.database import Connection
from runtime.kafka import producer
from schemas.base.rejection import Reason
from schemas.base.time_window import TimeWindow
from schemas.records.dead_letters import ReplayOf
from schemas.records.telemetry import (
    Load,
    LoadSnapshot,
    Reading,
    decode_reading,
    decode_snapshot,
    encode_measurement,
)
from schemas.records.topics import HEADER_REASON, HEADER_SOURCE_OFFSET, LOADS, TELEMETRY
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.engine.batch import Batch
from streams.engine.batch_producer import BatchProducer
from streams.sink.sink import Sink
from tests.support.kafka_records import read_all
from tests.support.readings import FRIDGE, HVAC, NOON, reading, snapshot, stores

WINDOW = TimeWindow(90, timedelta(minutes=5))
TABLES = ("telemetry_readings", "telemetry_loads", "load_snapshots", "ven_status")
FIRST = reading(used_power_kw=1.0, loads=(HVAC,))
OTHER = reading(used_power_kw=2.0, loads=(HVAC, FRIDGE), received_at=NOON + timedelta(hours=1))


class Worker(NamedTuple):
    """A log and a database that are shared by the sinks of a test."""

    kafka: KafkaSettings
    database: DatabaseSettings
    rows: Connection
    log: AIOKafkaProducer

    async def process(self, topic: str, *batches: Sequence[Reading | LoadSnapshot], headers: Any = ()) -> None:
        """Process batches in a sink that knows nothing of earlier ones; offsets count from 0 in each call."""
        name = self.kafka.topics(topic)
        async with stores(self.database) as store:
            decode, rows = {
                TELEMETRY: (decode_reading, store.readings),
                LOADS: (decode_snapshot, store.snapshots),
            }[topic]
            sink = Sink(partial(BatchProducer, self.log, self.kafka.topics), decode, rows, WINDOW)  # type: ignore[arg-type]
            offset = 0
            for batch in batches:
                records: list[Any] = []
                for record in batch:
                    value = encode_measurement(record, 0)
                    records.append(ConsumerRecord(name, 0, offset, 0, 0, b"ven-1", value, None, 0, 0, headers))
                    offset += 1
                await sink.process([Batch(TP(name, 0), records)])

    async def conflicts(self, topic: str) -> list[int]:
        """Return the offsets of the dead letters."""
        found = await read_all(self.kafka, self.kafka.topics.dead_letters(self.kafka.topics(topic)))
        assert {dict(record.headers)[HEADER_REASON] for record in found} <= {Reason.CONFLICTING_SAMPLE.encode()}
        return [int(dict(record.headers)[HEADER_SOURCE_OFFSET]) for record in found]

    async def stored(self) -> list[list[Any]]:
        return [[tuple(row) for row in await self.rows.fetch(f"SELECT * FROM {table}")] for table in TABLES]  # noqa: S608 - our tables


@pytest_asyncio.fixture
async def worker(kafka: KafkaSettings, database: DatabaseSettings, rows: Connection) -> AsyncIterator[Worker]:
    async with producer(kafka, "test") as log:
        yield Worker(kafka, database, rows, log)


async def test_conflict_in_one_batch_changes_nothing(worker: Worker) -> None:
    await worker.process(TELEMETRY, [FIRST])
    expected = await worker.stored()
    await worker.rows.execute("TRUNCATE telemetry_readings, telemetry_loads, ven_status")
    await worker.process(TELEMETRY, [FIRST, OTHER])
    assert await worker.stored() == expected
    assert await worker.conflicts(TELEMETRY) == [1]


async def test_conflict_in_a_later_batch_changes_nothing(worker: Worker) -> None:
    await worker.process(TELEMETRY, [FIRST])
    expected = await worker.stored()
    await worker.process(TELEMETRY, [FIRST], [OTHER])
    assert await worker.stored() == expected
    assert await worker.conflicts(TELEMETRY) == [1]


async def test_conflict_after_a_restart_changes_nothing(worker: Worker) -> None:
    newer = reading(second=5, used_power_kw=3.0)
    await worker.process(TELEMETRY, [FIRST, newer])
    expected = await worker.stored()
    # A late copy of the first is a duplicate, though it follows a conflict.
    await worker.process(TELEMETRY, [OTHER, FIRST, OTHER])
    assert await worker.stored() == expected
    assert await worker.conflicts(TELEMETRY) == [0, 2]


async def test_other_readings_of_a_batch_are_stored(worker: Worker) -> None:
    await worker.process(TELEMETRY, [FIRST])
    others = [reading("ven-2", loads=(HVAC,)), reading(second=1), reading(second=2)]
    await worker.process(TELEMETRY, [others[0], OTHER, *others[1:]])
    found = await worker.rows.fetch("SELECT ven_id, used_power_kw FROM telemetry_readings ORDER BY ven_id, time")
    assert [tuple(row) for row in found] == [("ven-1", 1.0), ("ven-1", 1.0), ("ven-1", 1.0), ("ven-2", 1.0)]
    assert await worker.conflicts(TELEMETRY) == [1]


async def test_conflicting_snapshot_changes_nothing(worker: Worker) -> None:
    first, other = snapshot("ven-1", 0, None, HVAC), snapshot("ven-1", 0, 60, HVAC, Load("ev"))
    await worker.process(LOADS, [first, first, other])
    expected = await worker.stored()
    await worker.process(LOADS, [other, first])
    assert await worker.stored() == expected
    assert await worker.conflicts(LOADS) == [2, 0]


async def test_reading_and_snapshot_of_one_time_are_no_conflict(worker: Worker) -> None:
    await worker.process(TELEMETRY, [FIRST])
    await worker.process(LOADS, [snapshot("ven-1", 0, None, FRIDGE)])
    assert await worker.conflicts(TELEMETRY) == await worker.conflicts(LOADS) == []
    assert await worker.rows.fetchval("SELECT count(*) FROM load_snapshots") == 1


async def test_row_of_an_earlier_version_is_no_conflict(worker: Worker) -> None:
    await worker.process(TELEMETRY, [FIRST])
    await worker.rows.execute("UPDATE telemetry_readings SET digest = NULL")
    await worker.process(TELEMETRY, [OTHER])
    assert await worker.conflicts(TELEMETRY) == []
    assert await worker.rows.fetchval("SELECT used_power_kw FROM telemetry_readings") == 1.0


async def test_replay_of_a_conflict_is_rejected_again(worker: Worker) -> None:
    await worker.process(TELEMETRY, [FIRST])
    expected = await worker.stored()
    replay = ReplayOf("0123456789abcdef", NOON, 1).header()
    await worker.process(TELEMETRY, [OTHER], headers=(replay,))
    assert await worker.stored() == expected
    (letter,) = await read_all(worker.kafka, worker.kafka.topics.dead_letters(worker.kafka.topics(TELEMETRY)))
    assert replay in letter.headers
