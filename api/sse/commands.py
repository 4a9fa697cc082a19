"""Commands whose state changed, found by the time at which their rows were written."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from api.queries.command_history import steps_of
from api.queries.feed import fetch_last_commands, fetch_next_commands
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry
from runtime.database import Pool
from schemas.dr.command_state import state_of
from schemas.rest.feed import CommandChange

MOST_AT_ONCE = 5000
ENTRIES = 500
"""Commands in one item: the start of an event changes those of a whole fleet in a second."""
COMMITS_LATE = timedelta(seconds=5)
"""A row is written so long before it can be seen, at most: looked for again, and told once."""


class CommandPoller:
    """Knows what it told of the commands that changed lately."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, since: datetime) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._since = since
        self._told: dict[str, tuple[datetime, tuple[Any, ...]]] = {}
        self._begun = False

    async def poll(self) -> None:
        """Tell what is new, oldest first."""
        asked_at = await (self._go_on() if self._begun else self._begin())
        if asked_at is not None:
            self._since = max(self._since, asked_at - COMMITS_LATE)
            self._told = {name: known for name, known in self._told.items() if known[0] > self._since}

    async def _begin(self) -> datetime | None:
        rows = await fetch_last_commands(self._pool, self._since, MOST_AT_ONCE)
        self._tell(rows[::-1])
        # Where more had changed than is read at once, from the oldest of these on.
        covered = rows[-1]["changed_at"] if len(rows) == MOST_AT_ONCE else self._since
        self._broadcaster.replay_buffer.covers("commands", round(covered.timestamp() * 1e6))
        self._begun = True
        return rows[0]["asked_at"] if rows else None

    async def _go_on(self) -> datetime | None:
        """Tell all, in pieces: the start of an event changes the commands of a whole fleet at once."""
        asked_at: datetime | None = None
        last = self._since, ""
        while True:
            rows = await fetch_next_commands(self._pool, *last, MOST_AT_ONCE)
            self._tell(rows)
            if rows:
                asked_at = asked_at or rows[0]["asked_at"]
                last = rows[-1]["changed_at"], rows[-1]["correlation_id"]
            if len(rows) < MOST_AT_ONCE:
                return asked_at

    def _tell(self, rows: Sequence[Any]) -> None:
        fresh = []
        for row in rows:
            known_at, known = self._told.get(row["correlation_id"], (None, None))
            if row["changed_at"] == known_at:
                continue
            told = (state_of(steps_of(row)), row["shed_at"], row["lost_at"])
            if told != known:
                fresh.append(_entry(row, told[0]))
            self._told[row["correlation_id"]] = (row["changed_at"], told)
        for first in range(0, len(fresh), ENTRIES):
            self._broadcaster.publish("commands", fresh[first : first + ENTRIES])


def _entry(row: Any, state: Any) -> FeedEntry:
    change = CommandChange(
        correlation_id=row["correlation_id"],
        ven_id=row["ven_id"],
        event_id=row["event_id"],
        op=row["op"],
        phase=row["phase"],
        state=state,
        ack_status=row["ack_status"],
        shed_at=row["shed_at"],
        lost_at=row["lost_at"],
        changed_at=row["changed_at"],
    )
    return FeedEntry(change.model_dump_json(by_alias=True).encode(), row["ven_id"], row["event_id"])
