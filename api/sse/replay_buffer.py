"""The last minutes of the feed, for clients that were away."""

import asyncio
from collections import deque
from collections.abc import Iterable

from api.sse.message_ids import MessageId
from api.sse.messages import TYPES, FeedFilter, FeedMessage, FeedType

OVERLAP_MICROS = 5_000_000
"""Another process may have seen a change this much later: what it told since is told again, rather than left out."""
MOST_BYTES = 32 * 2**20


class ReplayBuffer:
    """Items of the last `window_seconds`, fewer where they would take more than 32 MiB.

    It knows, by type, from when on it has everything. That is earlier than the start of the process where the changes
    before it could be read from the database.
    """

    def __init__(self, window_seconds: float) -> None:
        self._window_micros = round(window_seconds * 1e6)
        self._items: deque[FeedMessage] = deque()
        self._bytes = 0
        self._covered_from: dict[FeedType, int] = {}
        self.begun = asyncio.Event()
        """Whether it is known of each type from when on everything is here."""

    def covers(self, kind: FeedType, since_micros: int) -> None:
        """Note that from this time on everything of a type is here, or will be."""
        self._covered_from[kind] = since_micros
        if self._covered_from.keys() >= {*TYPES} - {"totals"}:
            self.begun.set()

    def add(self, item: FeedMessage) -> None:
        """Keep an item, and drop what is too old."""
        self._items.append(item)
        self._bytes += len(item.whole)
        oldest = item.id.micros - self._window_micros
        while self._items[0].id.micros < oldest or (self._bytes > MOST_BYTES and len(self._items) > 1):
            gone = self._items.popleft()
            self._bytes -= len(gone.whole)
            self._covered_from[gone.kind] = max(self._covered_from.get(gone.kind, 0), gone.id.micros)

    def missed(self, last: MessageId, process: str, wanted: FeedFilter) -> tuple[list[bytes], list[FeedType]]:
        """Return what a client missed that has seen everything up to `last`, and of which types that is not known."""
        since = last.micros if last.process == process else last.micros - OVERLAP_MICROS
        # Of the totals only the newest are of any use, and they come every second.
        unknown: list[FeedType] = [
            kind
            for kind in TYPES
            if kind in wanted.types and kind != "totals" and since < self._covered_from.get(kind, since + 1)
        ]
        later = [item for item in reversed(self._items) if item.id.micros > since and item.kind not in unknown]
        parts = [part for item in _latest(later) if (part := item.for_(wanted)) is not None]
        return parts[::-1], unknown


def _latest(newest_first: Iterable[FeedMessage]) -> Iterable[FeedMessage]:
    """Leave out items that a newer one makes needless."""
    seen = set()
    for item in newest_first:
        if item.latest_of is not None:
            if item.latest_of in seen:
                continue
            seen.add(item.latest_of)
        yield item
