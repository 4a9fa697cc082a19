"""The last minutes of the live feed, for clients that reconnect."""

import asyncio
from collections import deque
from collections.abc import Iterable

from api.sse.message_ids import MessageId
from api.sse.messages import TYPES, FeedFilter, FeedMessage, FeedType

OVERLAP_MICROS = 5_000_000
"""Another process may publish the same change this much later, so a client that changes processes gets these again."""
MAX_BYTES = 32 * 2**20


class ReplayBuffer:
    """Messages of the last `window_seconds`, or fewer if they exceed 32 MiB.

    For each type it knows from which time on it is complete. That is before the start of the process if earlier changes
    could be read from the database.
    """

    def __init__(self, window_seconds: float) -> None:
        self._window_micros = round(window_seconds * 1e6)
        self._messages: deque[FeedMessage] = deque()
        self._bytes = 0
        self._complete_since: dict[FeedType, int] = {}
        self.ready = asyncio.Event()
        """Set when it is known for every type from which time on the buffer is complete."""

    def mark_complete(self, kind: FeedType, since_micros: int) -> None:
        """Record that all messages of a type from this time on are, or will be, in the buffer."""
        self._complete_since[kind] = since_micros
        if self._complete_since.keys() >= {*TYPES} - {"totals"}:
            self.ready.set()

    def add(self, message: FeedMessage) -> None:
        """Add a message and drop those that are too old."""
        self._messages.append(message)
        self._bytes += len(message.whole)
        oldest = message.id.micros - self._window_micros
        while self._messages[0].id.micros < oldest or (self._bytes > MAX_BYTES and len(self._messages) > 1):
            dropped = self._messages.popleft()
            self._bytes -= len(dropped.whole)
            self._complete_since[dropped.kind] = max(self._complete_since.get(dropped.kind, 0), dropped.id.micros)

    def missed(self, last: MessageId, process: str, filters: FeedFilter) -> tuple[list[bytes], list[FeedType]]:
        """Return the messages after `last`, and the types for which the buffer is not complete since then."""
        since = last.micros if last.process == process else last.micros - OVERLAP_MICROS
        # Only the latest totals matter, and they come every second.
        incomplete: list[FeedType] = [
            kind
            for kind in TYPES
            if kind in filters.types and kind != "totals" and since < self._complete_since.get(kind, since + 1)
        ]
        later = [
            message
            for message in reversed(self._messages)
            if message.id.micros > since and message.kind not in incomplete
        ]
        parts = [part for message in _latest(later) if (part := message.part_for(filters)) is not None]
        return parts[::-1], incomplete


def _latest(newest_first: Iterable[FeedMessage]) -> Iterable[FeedMessage]:
    """Leave out messages that a newer one replaces."""
    seen = set()
    for message in newest_first:
        if message.latest_of is not None:
            if message.latest_of in seen:
                continue
            seen.add(message.latest_of)
        yield message
