"""New dead letters."""

from datetime import datetime, timedelta

from api.queries.feed import fetch_new_letters
from api.sse.broadcaster import Hub
from api.sse.messages import Entry
from api.views.dead_letters import dead_letter
from runtime.database import Pool

MOST = 100
"""Letters told of at each look: of a flood it is enough to know that it goes on."""
COMES_LATE = timedelta(seconds=30)
"""A letter is found so long after its message was received, at most, and told once."""


class LetterChanges:
    """Knows which letters it told of."""

    def __init__(self, hub: Hub, pool: Pool, since: datetime) -> None:
        self._hub = hub
        self._pool = pool
        self._since = since
        self._told: set[str] = set()
        self._begun = False

    async def look(self) -> None:
        """Tell what is new, oldest first."""
        rows = await fetch_new_letters(self._pool, self._since, MOST)
        fresh = [dead_letter(row) for row in reversed(rows) if row["id"] not in self._told]
        if fresh:
            self._hub.publish(
                "deadLetters", [Entry(each.model_dump_json(by_alias=True).encode(), each.ven_id) for each in fresh]
            )
        if not self._begun:
            self._begun = True
            covered = rows[-1]["time"] if len(rows) == MOST else self._since
            self._hub.ring.covers("deadLetters", round(covered.timestamp() * 1e6))
        self._told = {row["id"] for row in rows}
        if rows:
            self._since = max(self._since, rows[0]["time"] - COMES_LATE)
