"""What a dead letter carries beside the source's bytes: where it came from, and why it did not count."""

from collections.abc import Iterable, Sequence

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
    }
)
_MAX_DETAIL_BYTES = 1000


def dead_letter_headers(
    rejection: Rejection,
    source_headers: Iterable[tuple[str, bytes]],
    *,
    topic: str,
    partition: int | None = None,
    offset: int | None = None,
    timestamp: int | None = None,
) -> list[tuple[str, bytes]]:
    """Return the source's headers with ours after them; `timestamp` is the source's, in milliseconds.

    Partition, offset and timestamp are None for a message that never reached its topic.
    """
    found = (
        (topics.HEADER_REASON, rejection.reason),
        (topics.HEADER_DETAIL, rejection.detail),
        (topics.HEADER_SOURCE_TOPIC, topic),
        (topics.HEADER_SOURCE_PARTITION, partition),
        (topics.HEADER_SOURCE_OFFSET, offset),
        (topics.HEADER_SOURCE_TIMESTAMP, timestamp),
    )
    kept = [(name, value) for name, value in source_headers if name not in _OURS]
    ours = [(name, _text(str(value))) for name, value in found if value is not None]
    return kept + ours


def _text(value: str) -> bytes:
    """UTF-8 of bounded length, cut between two characters."""
    return value.encode(errors="replace")[:_MAX_DETAIL_BYTES].decode(errors="ignore").encode()
