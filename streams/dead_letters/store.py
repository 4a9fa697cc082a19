"""The index of the dead-letter topics: a row a letter, with what became of it."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import blake2b
from typing import NamedTuple

from runtime.database import Connection
from schemas.base.time_window import TimeWindow
from schemas.mqtt.routing import Kind, ven_id_in_topic
from schemas.parsing.common import MAX_ID_LENGTH, storable
from schemas.records import topics
from schemas.records.dead_letters import ReplayOf
from schemas.tables.partitioning import day_of
from streams.dead_letters.replay_store import note_refused
from streams.engine.batch_consumer import Record, headers_of
from streams.store.bulk_insert import Insert, Row, insert_in_one_transaction
from streams.store.database import Database, json_text
from streams.store.day_partitions import DayPartitions

COLUMNS = (
    "id",
    "time",
    "source_topic",
    "source_partition",
    "source_offset",
    "mqtt_topic",
    "ven_id",
    "reason",
    "detail",
    "key",
    "headers",
    "payload",
)

# The VEN whose clock is off is where an operator looks; a VEN that is not registered has no row to show it in.
NOTE_SKEW = """
UPDATE ven_status AS known SET clock_skew_seconds = fresh.skew
FROM unnest($1::text[], $2::float8[]) AS fresh(ven_id, skew)
WHERE known.ven_id = fresh.ven_id
"""

_OFFSET_DIGITS = 18
_PARTITION_DIGITS = 9
_NO_TIME_MS = 10**13
_MOST_REASON = 64


class DeadLetter(NamedTuple):
    """One record of a dead-letter topic, as a row; `clock_skew` is in seconds."""

    row: Row
    time: datetime
    ven_id: str | None
    reason: str
    detail: str
    clock_skew: float | None
    replay_of: ReplayOf | None


class DeadLetterStore:
    """Indexes batches of letters, each in one transaction; a letter that was written twice is one row."""

    def __init__(self, database: Database, partitions: DayPartitions, window: TimeWindow) -> None:
        self._database = database
        self._partitions = partitions
        self._window = window

    async def store(self, records: Iterable[Record]) -> None:
        """Index records of dead-letter topics; at return they are committed."""
        letters = [read_dead_letter(record, self._window, datetime.now(UTC)) for record in records]
        fresh = [letter for letter in letters if not await self._refused_again(letter)]
        rows = {letter.row[:2]: letter.row for letter in reversed(fresh)}
        skews = {letter.ven_id: letter.clock_skew for letter in fresh if letter.clock_skew is not None}

        async def note_skews(connection: Connection) -> None:
            if skews:
                await connection.execute(NOTE_SKEW, list(skews), list(skews.values()))

        inserts = (Insert("dead_letters", COLUMNS, list(rows.values())),)
        days = {day_of(letter.time) for letter in fresh}
        await self._partitions.with_days(days, lambda: insert_in_one_transaction(self._database, inserts, note_skews))

    async def _refused_again(self, letter: DeadLetter) -> bool:
        """Note on a letter that its replay was refused; the refusal is no letter of its own."""
        replay = letter.replay_of
        if replay is None:
            return False
        because = f"{letter.reason}: {letter.detail}"
        return await self._database.run(partial(note_refused, replay=replay, because=because))


def read_dead_letter(record: Record, window: TimeWindow, now: datetime) -> DeadLetter:
    """Read a record of a dead-letter topic; others may write there, too, so nothing in it is taken on trust."""
    headers = headers_of(record)

    def text(name: str) -> str | None:
        return None if name not in headers else clean(headers[name])

    source = record.topic.removesuffix(topics.DEAD_LETTER_SUFFIX)
    offset = _number(headers.get(topics.HEADER_SOURCE_OFFSET), _OFFSET_DIGITS)
    partition = _number(headers.get(topics.HEADER_SOURCE_PARTITION), _PARTITION_DIGITS)
    reason, detail = (text(topics.HEADER_REASON) or "unknown")[:_MOST_REASON], text(topics.HEADER_DETAIL) or ""
    # Of the source, so that a letter which was written twice, after a crash, is the same letter.
    origin = (record.partition, record.offset, "dlq") if offset is None else (partition, offset, "source")
    identity = blake2b(repr((source, origin, reason, detail)).encode(), digest_size=8).hexdigest()
    time = _received(record, headers, window, now)
    mqtt_topic = text(topics.HEADER_TOPIC)
    # A broker lets a VEN publish on its own topics only: so who sent it, not of whom the payload says that it is.
    ven_id = None if mqtt_topic is None else _sender(mqtt_topic)
    if ven_id is None and record.key:
        ven_id = clean(record.key)[:MAX_ID_LENGTH]
    row = (
        identity,
        time,
        clean(source.encode()),
        partition,
        offset,
        mqtt_topic,
        ven_id,
        reason,
        detail,
        record.key,
        json_text({clean(name.encode()): clean(value) for name, value in headers.items()}) or "{}",
        record.value or b"",
    )
    skew = text(topics.HEADER_CLOCK_SKEW)
    replay_of = ReplayOf.parse(headers.get(topics.HEADER_REPLAY_OF))
    return DeadLetter(row, time, ven_id, reason, detail, _float(skew), replay_of)


@lru_cache(maxsize=10_000)
def _sender(mqtt_topic: str) -> str | None:
    """The VEN whose own topic it is; the keys of shadows and acknowledgements are of the topic anyhow."""
    return ven_id_in_topic(Kind.OTHER, mqtt_topic)


def clean(value: bytes) -> str:
    """Return bytes as text that PostgreSQL takes."""
    text: str = storable(value.decode(errors="replace"))
    return text


def _received(record: Record, headers: Mapping[str, bytes], window: TimeWindow, now: datetime) -> datetime:
    """When the gateway received the source, by the first clock that can be right."""
    for milliseconds in (
        _number(headers.get(topics.HEADER_RECEIVED), _OFFSET_DIGITS),
        _number(headers.get(topics.HEADER_SOURCE_TIMESTAMP), _OFFSET_DIGITS),
        record.timestamp,
    ):
        if milliseconds is not None and 0 <= milliseconds < _NO_TIME_MS:
            moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
            if window.check(moment, now) is None:
                return moment
    return now


def _number(header: bytes | None, digits: int) -> int | None:
    """A header of ours in decimal; None for anything else, and for what no column holds."""
    return int(header) if header is not None and header.isdigit() and len(header) <= digits else None


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
