"""The headers of a dead letter: where it came from, and why it was rejected. Its value is that of the source."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from schemas.base.rejection import Rejection
from schemas.records import topics

Headers = Sequence[tuple[str, bytes]]

_OURS = frozenset(
    {
        topics.HEADER_REASON,
        topics.HEADER_DETAIL,
        topics.HEADER_SOURCE_TOPIC,
        topics.HEADER_SOURCE_PARTITION,
        topics.HEADER_SOURCE_OFFSET,
        topics.HEADER_SOURCE_TIMESTAMP,
        topics.HEADER_CLOCK_SKEW,
    }
)
_MAX_DETAIL_BYTES = 1000

# Other writers may set this header: accept only values that fit the columns of the index.
_REPLAY_OF = re.compile(r"([0-9a-f]{16}) (\S+[+-]\d\d:\d\d) ([0-9]{1,9})")


class DeadLetterState(StrEnum):
    """The state of a dead letter."""

    OPEN = "open"  # not replayed yet
    REQUESTED = "requested"  # a replay is requested
    SENT = "sent"  # published to its source topic
    STORED = "stored"  # its record is stored now
    ALREADY_STORED = "already_stored"  # its record was stored before the replay
    REJECTED = "rejected"  # rejected again; `state_detail` says why


class ReplayOf(NamedTuple):
    """The dead letter that a record is a replay of: a header that stays with the record through all topics."""

    dead_letter_id: str
    dead_letter_time: datetime
    attempt: int

    def header(self) -> tuple[str, bytes]:
        """Return the header."""
        text = f"{self.dead_letter_id} {self.dead_letter_time.isoformat()} {self.attempt}"
        return topics.HEADER_REPLAY_OF, text.encode()

    @classmethod
    def parse(cls, header: bytes | None) -> Self | None:
        """Parse the header's value; None if it is absent or malformed."""
        try:
            found = _REPLAY_OF.fullmatch((header or b"").decode())
            dead_letter_time = None if found is None else datetime.fromisoformat(found[2]).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return None if found is None or dead_letter_time is None else cls(found[1], dead_letter_time, int(found[3]))


def dead_letter_headers(
    rejection: Rejection,
    source_headers: Iterable[tuple[str, bytes]],
    *,
    topic: str,
    partition: int | None = None,
    offset: int | None = None,
    timestamp: int | None = None,
    clock_skew: float | None = None,
) -> list[tuple[str, bytes]]:
    """Return the source's headers, followed by ours.

    `timestamp` is that of the source, in milliseconds; `clock_skew` is in seconds, if it is the cause. Partition,
    offset and timestamp are None for a message that never reached its topic.
    """
    found = (
        (topics.HEADER_REASON, rejection.reason),
        (topics.HEADER_DETAIL, rejection.detail),
        (topics.HEADER_SOURCE_TOPIC, topic),
        (topics.HEADER_SOURCE_PARTITION, partition),
        (topics.HEADER_SOURCE_OFFSET, offset),
        (topics.HEADER_SOURCE_TIMESTAMP, timestamp),
        (topics.HEADER_CLOCK_SKEW, clock_skew),
    )
    kept = [(name, value) for name, value in source_headers if name not in _OURS]
    ours = [(name, _text(str(value))) for name, value in found if value is not None]
    return kept + ours


def dead_letter_headers_for(
    record: Any, rejection: Rejection, *, clock_skew: float | None = None
) -> list[tuple[str, bytes]]:
    """Return the headers of the dead letter of a Kafka record (aiokafka's ConsumerRecord)."""
    return dead_letter_headers(
        rejection,
        record.headers or (),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        clock_skew=clock_skew,
    )


def source_headers(headers: Mapping[str, str], received_at: datetime) -> list[tuple[str, bytes]]:
    """Return the source's headers of a dead letter, with its first receive time, for a replay."""
    others = {*_OURS, topics.HEADER_REPLAY_OF, topics.HEADER_RECEIVED}
    received = (topics.HEADER_RECEIVED, b"%d" % round(received_at.timestamp() * 1000))
    return [*((name, value.encode()) for name, value in headers.items() if name not in others), received]


def _text(value: str) -> bytes:
    """Encode in UTF-8, cut between two characters at `_MAX_DETAIL_BYTES`."""
    return value.encode(errors="replace")[:_MAX_DETAIL_BYTES].decode(errors="ignore").encode()
