"""What a dead letter carries beside the source's bytes: where it came from, and why it did not count."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from schemas import topics
from schemas.reasons import Rejection

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


class State(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"  # nobody has replayed it
    REQUESTED = "requested"  # to be replayed
    SENT = "sent"  # back in its source topic
    STORED = "stored"  # it counts now
    ALREADY_STORED = "already_stored"  # what it says was there before
    REJECTED = "rejected"  # refused again; `state_detail` says why


class ReplayOf(NamedTuple):
    """Which dead letter a record is the replay of: a header that stays with it through all topics."""

    letter_id: str
    letter_time: datetime
    attempt: int

    def header(self) -> tuple[str, bytes]:
        """Return it as a header."""
        text = f"{self.letter_id} {self.letter_time.isoformat()} {self.attempt}"
        return topics.HEADER_REPLAY_OF, text.encode()

    @classmethod
    def parse(cls, header: bytes | None) -> Self | None:
        """Read the header's value; None where there is none, or none of ours."""
        try:
            letter_id, time, attempt = (header or b"").decode().split(" ")
            return cls(letter_id, datetime.fromisoformat(time), int(attempt))
        except ValueError:
            return None


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
    """Return the source's headers with ours after them.

    `timestamp` is the source's, in milliseconds, `clock_skew` in seconds, where that is what was wrong. Partition,
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


def source_headers(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Return what was the source's among a letter's headers, to send it again."""
    ours = {*_OURS, topics.HEADER_REPLAY_OF}
    return [(name, value.encode()) for name, value in headers.items() if name not in ours]


def _text(value: str) -> bytes:
    """UTF-8 of bounded length, cut between two characters."""
    return value.encode(errors="replace")[:_MAX_DETAIL_BYTES].decode(errors="ignore").encode()
