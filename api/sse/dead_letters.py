"""New dead letters in the feed."""

from datetime import datetime, timedelta

from api.queries.dead_letters import fetch_new_dead_letters
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry
from api.views.dead_letters import dead_letter_view
from runtime.database import Pool

MAX_ENTRIES = 100
"""Of one poll: when there are very many, some are enough to see that it goes on."""
MAX_DELAY = timedelta(seconds=30)
"""A dead letter may be stored this long after its message was received; it is still published, once."""


class DeadLetterPoller:
    """Publishes each new dead letter once."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, since: datetime) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._since = since
        self._published: set[str] = set()
        self._first = True

    async def poll(self) -> None:
        """Publish what is new, oldest first."""
        rows = await fetch_new_dead_letters(self._pool, self._since, MAX_ENTRIES)
        new = [dead_letter_view(row) for row in reversed(rows) if row["id"] not in self._published]
        if new:
            entries = [FeedEntry(each.model_dump_json(by_alias=True).encode(), each.ven_id) for each in new]
            self._broadcaster.publish("deadLetters", entries)
        if self._first:
            self._first = False
            complete_since = rows[-1]["time"] if len(rows) == MAX_ENTRIES else self._since
            self._broadcaster.replay_buffer.mark_complete("deadLetters", round(complete_since.timestamp() * 1e6))
        self._published = {row["id"] for row in rows}
        if rows:
            self._since = max(self._since, rows[0]["time"] - MAX_DELAY)
