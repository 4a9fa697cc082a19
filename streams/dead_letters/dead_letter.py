"""Reads records of dead-letter topics as rows of the table `dead_letters`."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from schemas.base.time_window import TimeWindow
from schemas.mqtt.routing import Kind, ven_id_in_topic
from schemas.parsing.common import MAX_ID_LENGTH, storable
from schemas.records import topics
from schemas.records.dead_letters import ReplayOf
from streams.engine.batch import Record, headers_of
from streams.store.bulk_insert import Row
from streams.store.database import json_text

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

_OFFSET_DIGITS = 18
_PARTITION_DIGITS = 9
_MAX_TIME_MS = 10**13
_MAX_REASON_CHARACTERS = 64


class DeadLetter(NamedTuple):
    """A dead letter as a row with the columns `COLUMNS`; `clock_skew` is in seconds."""

    row: Row
    time: datetime
    ven_id: str | None
    reason: str
    detail: str
    clock_skew: float | None
    replay_of: ReplayOf | None


def read_dead_letter(record: Record, window: TimeWindow, now: datetime) -> DeadLetter:
    """Read a record of a dead-letter topic. Other writers are possible, so every header is checked."""
    headers = headers_of(record)

    def text(name: str) -> str | None:
        return None if name not in headers else clean(headers[name])

    source = record.topic.removesuffix(topics.DEAD_LETTER_SUFFIX)
    offset = _number(headers.get(topics.HEADER_SOURCE_OFFSET), _OFFSET_DIGITS)
    partition = _number(headers.get(topics.HEADER_SOURCE_PARTITION), _PARTITION_DIGITS)
    reason, detail = (
        (text(topics.HEADER_REASON) or "unknown")[:_MAX_REASON_CHARACTERS],
        text(topics.HEADER_DETAIL) or "",
    )
    # From the source, so that a dead letter that was written twice, after a crash, is one row.
    origin = (record.partition, record.offset, "dlq") if offset is None else (partition, offset, "source")
    identity = blake2b(repr((source, origin, reason, detail)).encode(), digest_size=8).hexdigest()
    time = _received(record, headers, window, now)
    mqtt_topic = text(topics.HEADER_TOPIC)
    # The topic tells who sent it, because brokers let a VEN publish to its own topics only; the payload does not.
    ven_id = None if mqtt_topic is None else _sending_ven(mqtt_topic)
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
def _sending_ven(mqtt_topic: str) -> str | None:
    """Return the VEN that owns a topic, if one does."""
    return ven_id_in_topic(Kind.OTHER, mqtt_topic)


def clean(value: bytes) -> str:
    """Decode bytes to text that PostgreSQL can store."""
    text: str = storable(value.decode(errors="replace"))
    return text


def _received(record: Record, headers: Mapping[str, bytes], window: TimeWindow, now: datetime) -> datetime:
    """Return when the gateway received the source, from the first clock that is within the window."""
    for milliseconds in (
        _number(headers.get(topics.HEADER_RECEIVED), _OFFSET_DIGITS),
        _number(headers.get(topics.HEADER_SOURCE_TIMESTAMP), _OFFSET_DIGITS),
        record.timestamp,
    ):
        if milliseconds is not None and 0 <= milliseconds < _MAX_TIME_MS:
            moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
            if window.check(moment, now) is None:
                return moment
    return now


def _number(header: bytes | None, digits: int) -> int | None:
    """Parse a decimal header; None if it is no number or has more than `digits` digits."""
    return int(header) if header is not None and header.isdigit() and len(header) <= digits else None


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
