"""Records that cannot be stored become dead letters; all others are stored."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from gateway.stack.polling import wait_until
from runtime.database import Connection
from runtime.kafka import producer
from schemas.base.rejection import Reason
from schemas.base.time_window import TimeWindow
from schemas.records.telemetry import Load, decode_reading, encode_record
from schemas.records.topics import HEADER_REASON, HEADER_SOURCE_OFFSET, HEADER_SOURCE_TOPIC, TELEMETRY
from schemas.settings.blocks import DatabaseSettings, KafkaSettings, StreamsSettings
from streams.config import StreamsConfig
from streams.engine.batch import Batch
from streams.engine.batch_producer import BatchProducer
from streams.main import run_role
from streams.sink.sink import Sink
from tests.support.kafka_records import read_all, writer
from tests.support.readings import HVAC, reading, stores
from tests.support.servers import committed

NUL = encode_record(reading("poison-1", event_id="evt\0"))
MALFORMED = (b"", b"\xff\xfe", b"{}", b"not json", b"[" * 100_000, b'{"venId":"a","timestamp":"yesterday"}')


def batch(topic: str, values: list[bytes | None]) -> Batch:
    records: list[Any] = [
        ConsumerRecord(topic, 0, offset, 1_700_000_000_000, 0, b"key", value, None, 0, 0, (("mqtt-topic", b"t"),))
        for offset, value in enumerate(values)
    ]
    return Batch(TP(topic, 0), records)


WINDOW = TimeWindow(90, timedelta(minutes=5))


async def process_values(kafka: KafkaSettings, database: DatabaseSettings, values: list[bytes | None]) -> None:
    async with producer(kafka, "test") as log, stores(database) as store:
        sink = Sink(partial(BatchProducer, log, kafka.topics), decode_reading, store.readings, WINDOW)
        await sink.process([batch(kafka.topics(TELEMETRY), values)])


async def dead_letters(kafka: KafkaSettings) -> dict[int, tuple[str, bytes]]:
    """Return reason and bytes by the offset of the source."""
    topic = kafka.topics(TELEMETRY)
    found = {}
    for record in await read_all(kafka, kafka.topics.dead_letters(topic)):
        headers = dict(record.headers)
        assert headers["mqtt-topic"] == b"t"
        assert headers[HEADER_SOURCE_TOPIC] == topic.encode()
        assert record.key == b"key"
        found[int(headers[HEADER_SOURCE_OFFSET])] = (headers[HEADER_REASON].decode(), record.value)
    return found


async def test_records_the_database_refuses_become_dead_letters(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    bad_load = encode_record(reading("poison-2", loads=(HVAC, Load("x", name="\0"))))
    unstorable = {3: NUL, 4: NUL, 20: bad_load, 36: encode_record(reading("a\0b"))}
    values = [unstorable.get(number) or encode_record(reading(f"ven-{number}", loads=(HVAC,))) for number in range(37)]
    await process_values(kafka, database, list(values))
    assert await dead_letters(kafka) == {offset: (Reason.UNSTORABLE, value) for offset, value in unstorable.items()}
    stored = {row["ven_id"] for row in await rows.fetch("SELECT ven_id FROM telemetry_readings")}
    assert stored == {f"ven-{number}" for number in range(37) if number not in unstorable}
    assert {row["ven_id"] for row in await rows.fetch("SELECT ven_id FROM vens")} == stored
    assert await rows.fetchval("SELECT count(*) FROM telemetry_loads") == len(stored)


async def test_time_without_zone_becomes_a_dead_letter(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    value = encode_record(reading("poison", timestamp=datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the point
    await process_values(kafka, database, [value, encode_record(reading())])
    assert await dead_letters(kafka) == {0: (Reason.BAD_VALUE, value)}
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


@pytest.mark.parametrize(
    "unstorable",
    [
        {"message_num": 2**63},
        {"loads": (Load("x", priority=2**31),)},
        {"loads": (Load("x" * 9000),)},
        {"ven_id": "x" * 9000},
    ],
)
async def test_values_beyond_their_column_become_dead_letters(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection, unstorable: dict[str, Any]
) -> None:
    value = encode_record(reading(**{"ven_id": "poison", **unstorable}))
    await process_values(kafka, database, [value, encode_record(reading())])
    assert await dead_letters(kafka) == {0: (Reason.BAD_VALUE, value)}
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


async def test_records_that_are_no_readings_become_dead_letters(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    await process_values(kafka, database, [*MALFORMED, None, encode_record(reading())])
    # JSON of another form is a bad value.
    reasons = [Reason.BAD_VALUE if (value or b"").startswith((b"{", b"[")) else Reason.NOT_JSON for value in MALFORMED]
    values = [
        (reason, value or b"") for reason, value in zip([*reasons, Reason.NOT_JSON], [*MALFORMED, None], strict=True)
    ]
    expected = dict(enumerate(values))
    assert await dead_letters(kafka) == expected
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


async def test_missing_table_is_waited_for_without_dead_letters(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await rows.execute("ALTER TABLE ven_status RENAME TO elsewhere")
    taking = asyncio.create_task(process_values(kafka, database, [encode_record(reading())]))
    assert await wait_until(lambda: caplog.text.count("UndefinedTableError") >= 2, 60)
    assert not taking.done()
    await rows.execute("ALTER TABLE elsewhere RENAME TO ven_status")
    await asyncio.wait_for(taking, 60)
    assert await dead_letters(kafka) == {}
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 1


async def test_role_commits_past_unstorable_records(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    topic = kafka.topics(TELEMETRY)
    stop = asyncio.Event()
    role = asyncio.create_task(run_role(StreamsConfig("sink", kafka, StreamsSettings(), database), stop))
    async with writer(kafka) as log:
        for partition in range(2):
            good = [encode_record(reading(f"ven-{partition}", second)) for second in range(100)]
            await log.together(topic, [*good[:50], NUL, b"junk", *good[50:]], partition)

    async def all_committed() -> bool:
        return role.done() or await committed(kafka, "sink", topic) == {0: 102, 1: 102}

    assert await wait_until(all_committed, 60)
    stop.set()
    await role
    assert await rows.fetchval("SELECT count(*) FROM telemetry_readings") == 200
    found = await read_all(kafka, kafka.topics.dead_letters(topic))
    assert sorted(record.value for record in found) == sorted([NUL, b"junk"] * 2)


async def test_first_of_a_key_counts_in_a_batch_that_is_halved(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    # The sink halves the batch to find the bad record, so its second half has a transaction of its own.
    first: list[bytes | None] = [
        NUL,
        *(encode_record(reading("ven-1", second=second, used_power_kw=1.0)) for second in range(3)),
    ]
    second: list[bytes | None] = [
        encode_record(reading("ven-1", second=second, used_power_kw=2.0)) for second in range(3)
    ]
    async with producer(kafka, "test") as log, stores(database, connections=2) as store:
        sink = Sink(partial(BatchProducer, log, kafka.topics), decode_reading, store.readings, WINDOW)
        topic = kafka.topics(TELEMETRY)
        await asyncio.gather(sink.process([batch(topic, first)]), sink.process([batch(topic, second)]))
    assert await rows.fetchval("SELECT array_agg(used_power_kw) FROM telemetry_readings") == [1.0, 1.0, 1.0]
