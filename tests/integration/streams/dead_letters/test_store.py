"""Dead letters in PostgreSQL: one row each, whatever a record contains."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import ConsumerRecord

from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Kind
from schemas.records import topics
from schemas.records.dead_letters import dead_letter_headers
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.pipeline import Pipeline
from tests.support.pipeline import pipeline as open_pipeline

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR_AGO = NOW - timedelta(hours=1)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest_asyncio.fixture
async def pipeline(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Pipeline]:
    async with open_pipeline(kafka, database) as opened:
        yield opened


async def test_dead_letter_row_has_all_known_fields(pipeline: Pipeline) -> None:
    await pipeline.receive(HOUR_AGO, b'{"venId":"ven-1"}')
    (row,) = await pipeline.index()
    raw = pipeline.kafka.topics.raw(Kind.METERING)
    headers = json.loads(row.pop("headers"))
    assert headers[topics.HEADER_RECEIVED] == str(ms(HOUR_AGO))
    assert row.pop("id")
    assert row == {
        "time": HOUR_AGO,
        "source_topic": raw,
        "source_partition": int(headers[topics.HEADER_SOURCE_PARTITION]),
        "source_offset": 0,
        "mqtt_topic": "volttron/metering",
        "ven_id": "ven-1",
        "reason": "missing_time",
        "detail": "timestamp (or ts) is missing",
        "key": b"ven-1",
        "payload": b'{"venId":"ven-1"}',
        "state": "open",
        "state_at": None,
        "state_detail": None,
        "replays": 0,
        "corrected_payload": None,
    }


async def test_repeated_dead_letter_is_one_row_bad_loads_one_each(pipeline: Pipeline) -> None:
    loads = [{"id": "a"}, {"id": 7}, None]
    await pipeline.receive(HOUR_AGO, {"venId": "ven-1", "timestamp": NOW.isoformat(), "loads": loads})
    before = await pipeline.index()
    assert [row["detail"].split(":")[0] for row in before] == ["load 1", "load 2"]
    # validate ended after it wrote the letters, and before its offset was committed; later, and in one batch.
    for row in [*before, *before]:
        headers = [(name, value.encode()) for name, value in json.loads(row["headers"]).items()]
        await pipeline.send(pipeline.kafka.topics.dead_letters(row["source_topic"]), row["payload"], headers)
    await pipeline.settle()
    assert await pipeline.index() == before


async def test_dead_letter_without_source_uses_its_own_offset(pipeline: Pipeline) -> None:
    raw = pipeline.kafka.topics.raw(Kind.METERING)
    source = [(topics.HEADER_TOPIC, b"volttron/metering"), (topics.HEADER_RECEIVED, b"%d" % ms(HOUR_AGO))]
    headers = dead_letter_headers(Rejection(Reason.TOO_LARGE, "1000001 bytes"), source, topic=raw)
    for _ in range(2):
        await pipeline.send(pipeline.kafka.topics.dead_letters(raw), b"x" * 65_536, headers)
    await pipeline.settle()
    one, other = await pipeline.index()
    assert one["id"] != other["id"]
    assert (one["source_topic"], one["source_partition"], one["source_offset"]) == (raw, None, None)
    assert (one["reason"], one["time"], len(one["payload"])) == ("too_large", HOUR_AGO, 65_536)


def header(name: str, *values: bytes | None) -> list[list[tuple[str, bytes | None]]]:
    return [[(name, value)] for value in values]


REPLAYS = (
    b"",
    b"\xff",
    b"one two three",
    b"0123456789abcdef 2026-11-24T06:00:00 1",  # no zone
    b"\0 2026-11-24T06:00:00+00:00 1",
    b"0123456789abcdef 2026-11-24T06:00:00+00:00 99999999999",
    b"0123456789abcdef 2026-11-24T06:00:00+00:00 -1",
    b"0123456789abcdef 0001-01-01T00:00:00+14:00 1",
    b"0123456789abcdef 9999-12-31T23:59:59-14:00 1",
    b"0123456789abcdef 2026-11-24T06:00:00+00:00 1",  # of a letter that is gone
)
GARBAGE = [
    [],
    [("", b"")],
    *header(topics.HEADER_REASON, None, b"", b"\0" * 5000, "\N{ELECTRIC PLUG}".encode() * 5000),
    *header(topics.HEADER_DETAIL, None, b"\xff\0" * 50_000),
    *header(topics.HEADER_TOPIC, None, b"\0" * 65_535),
    *header(topics.HEADER_SOURCE_OFFSET, None, b"-1", b"9" * 18, b"9" * 19, b"9" * 5000, b"1e3"),
    *header(topics.HEADER_SOURCE_PARTITION, None, b"9" * 9, b"9" * 10, b"-0"),
    *header(topics.HEADER_RECEIVED, None, b"-1", b"9" * 13, b"9" * 18, b"0", b"soon"),
    *header(topics.HEADER_SOURCE_TIMESTAMP, None, b"9" * 18, b"-9"),
    *header(topics.HEADER_CLOCK_SKEW, None, b"nan", b"1e999", b"-1e308", b"1_0", b"\0", b"9" * 4000),
    *header(topics.HEADER_REPLAY_OF, None, *REPLAYS),
    [("x\0", b"\0"), ("x\0", None)],
]


async def test_malformed_dead_letters_are_stored(pipeline: Pipeline) -> None:
    letters = pipeline.kafka.topics.dead_letters(pipeline.kafka.topics.raw(Kind.METERING))
    for number, headers in enumerate(GARBAGE):
        await pipeline.send(letters, b"%d" % number, headers)
    await pipeline.send(letters, None, None)
    await pipeline.send(letters, b"\0", [], key=b"\xff\0" * 100_000)
    await pipeline.send(letters, b"x" * 1_400_000, [])
    await pipeline.settle()
    found = await pipeline.index()
    assert len(found) == len(GARBAGE) + 3
    assert {int(row["payload"]) for row in found if row["payload"].isdigit()} == set(range(len(GARBAGE)))
    assert all(abs(row["time"] - datetime.now(UTC)) < timedelta(minutes=2) for row in found)
    assert {row["state"] for row in found} == {"open"}
    assert max(len(row["ven_id"] or "") for row in found) == 128
    # All of it may be asked for again; it goes back where it can, and the rest says why not.
    for row in found:
        await pipeline.request(row["id"])
    while await pipeline.replay():
        await pipeline.settle()
    states = {row["payload"]: row["state"] for row in await pipeline.index()}
    # An empty payload is nothing to store, and no error.
    assert states.pop(b"") == "sent"
    assert set(states.values()) == {"rejected"}
    assert len(await pipeline.index()) == len(found)


@pytest.mark.parametrize("timestamp", [-1, -(2**62), 10**15, 2**62])
async def test_impossible_time_is_stored_under_today(pipeline: Pipeline, timestamp: int) -> None:
    letters = pipeline.kafka.topics.dead_letters(pipeline.kafka.topics.raw(Kind.METERING))
    record: Any = ConsumerRecord(letters, 0, 0, timestamp, 0, None, b"", None, 0, 0, ())
    await pipeline.letters.store([record])
    (row,) = await pipeline.index()
    assert abs(row["time"] - datetime.now(UTC)) < timedelta(minutes=2)


async def skew(pipeline: Pipeline) -> float | None:
    found: float | None = await pipeline.rows.fetchval(
        "SELECT clock_skew_seconds FROM ven_status WHERE ven_id = 'ven-1'"
    )
    return found


async def test_clock_skew_shows_until_the_clock_is_right(pipeline: Pipeline) -> None:
    ahead = HOUR_AGO + timedelta(days=2)
    wrong = {"venId": "ven-1", "timestamp": ahead.isoformat()}
    await pipeline.receive(HOUR_AGO, wrong)
    assert await pipeline.rows.fetchval("SELECT count(*) FROM ven_status") == 0
    await pipeline.receive(HOUR_AGO, venId="ven-1", timestamp=(HOUR_AGO - timedelta(seconds=3)).isoformat())
    assert await skew(pipeline) == 0.0
    await pipeline.receive(HOUR_AGO, wrong, {**wrong, "timestamp": "2020-01-01"}, wrong)
    assert await skew(pipeline) == -timedelta(days=2).total_seconds()
    await pipeline.receive(HOUR_AGO, venId="ven-1", timestamp=HOUR_AGO.isoformat())
    assert await skew(pipeline) == 0.0
    assert [row["reason"] for row in await pipeline.index()] == ["too_old"] + ["too_new"] * 3
    # An operator who tries it again says nothing of the clock as it is now.
    await pipeline.request((await pipeline.index())[0]["id"])
    await pipeline.replay()
    await pipeline.settle()
    assert await skew(pipeline) == 0.0
