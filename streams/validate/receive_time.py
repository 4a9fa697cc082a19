"""When the bridge received a message."""

from collections.abc import Mapping
from datetime import UTC, datetime

from schemas.records.topics import HEADER_RECEIVED

_MILLISECOND_DIGITS = 13


def receive_time(headers: Mapping[str, bytes], timestamp_ms: int) -> datetime:
    """Return the receive time from the bridge's header, or from the Kafka timestamp if other writers left it out."""
    header = headers.get(HEADER_RECEIVED, b"")
    milliseconds = int(header) if header.isdigit() and len(header) <= _MILLISECOND_DIGITS else timestamp_ms
    if not 0 <= milliseconds < 10**_MILLISECOND_DIGITS:
        return datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
