"""New dead letters."""

from datetime import datetime, timedelta

from api.queries.feed import fetch_new_dead_letters
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry
from api.views.dead_letters import dead_letter
from runtime.database import Pool

MOST = 100
"""Letters told of at each look: of a flood it is enough to know that it goes on."""
COMES_LATE = timedelta(seconds=30)
"""A letter is found so long after its message was received, at most, and told once."""


class DeadLetterPoller:
    """Knows which letters it told of."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, since: datetime) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._since = since
        self._told: set[str] = set()
        self._begun = False

    async def poll(self) -> None:
        """Tell what is new, oldest first."""
        rows = await fetch_new_dead_letters(self._pool, self._since, MOST)
        fresh = [dead_letter(row) for row in reversed(rows) if row["id"] not in self._told]
        if fresh:
            self._broadcaster.publish(
                "deadLetters", [FeedEntry(each.model_dump_json(by_alias=True).encode(), each.ven_id) for each in fresh]
            )
        if not self._begun:
            self._begun = True
            covered = rows[-1]["time"] if len(rows) == MOST else self._since
            self._broadcaster.replay_buffer.covers("deadLetters", round(covered.timestamp() * 1e6))
        self._told = {row["id"] for row in rows}
        if rows:
            self._since = max(self._since, rows[0]["time"] - COMES_LATE)
