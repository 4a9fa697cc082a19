"""Publishes commands whose state changed; the poller finds them by the time at which their rows were written."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from api.queries.feed import fetch_last_commands, fetch_next_commands
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry
from runtime.database import Pool
from schemas.rest.feed import CommandChange

MOST_AT_ONCE = 5000
ENTRIES = 500
"""Commands in one message: the start of an event changes the commands of a whole fleet within a second."""
COMMITS_LATE = timedelta(seconds=5)
"""The longest time from the write of a row to its commit: so far back rows are read again, and published once."""


class CommandPoller:
    """Remembers what it published of the commands that changed in the last seconds."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, since: datetime) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._since = since
        self._published: dict[str, tuple[datetime, tuple[Any, ...]]] = {}
        self._begun = False

    async def poll(self) -> None:
        """Publish what is new, oldest first."""
        asked_at = await (self._continue() if self._begun else self._begin())
        if asked_at is not None:
            self._since = max(self._since, asked_at - COMMITS_LATE)
            self._published = {name: known for name, known in self._published.items() if known[0] > self._since}

    async def _begin(self) -> datetime | None:
        rows = await fetch_last_commands(self._pool, self._since, MOST_AT_ONCE)
        self._publish(rows[::-1])
        # Where more rows changed than one read returns, the buffer covers only the rows that were read.
        covered = rows[-1]["changed_at"] if len(rows) == MOST_AT_ONCE else self._since
        self._broadcaster.replay_buffer.mark_complete("commands", round(covered.timestamp() * 1e6))
        self._begun = True
        return rows[0]["asked_at"] if rows else None

    async def _continue(self) -> datetime | None:
        """Publish all changes, in pieces: the start of an event changes the commands of a whole fleet."""
        asked_at: datetime | None = None
        last = self._since, ""
        while True:
            rows = await fetch_next_commands(self._pool, *last, MOST_AT_ONCE)
            self._publish(rows)
            if rows:
                asked_at = asked_at or rows[0]["asked_at"]
                last = rows[-1]["changed_at"], rows[-1]["correlation_id"]
            if len(rows) < MOST_AT_ONCE:
                return asked_at

    def _publish(self, rows: Sequence[Any]) -> None:
        fresh = []
        for row in rows:
            known_at, known = self._published.get(row["correlation_id"], (None, None))
            if row["changed_at"] == known_at:
                continue
            progress = (row["state"], row["shed_at"], row["lost_at"])
            if progress != known:
                fresh.append(_entry(row))
            self._published[row["correlation_id"]] = (row["changed_at"], progress)
        for first in range(0, len(fresh), ENTRIES):
            self._broadcaster.publish("commands", fresh[first : first + ENTRIES])


def _entry(row: Any) -> FeedEntry:
    change = CommandChange(
        correlation_id=row["correlation_id"],
        ven_id=row["ven_id"],
        event_id=row["event_id"],
        op=row["op"],
        phase=row["phase"],
        state=row["state"],
        ack_status=row["ack_status"],
        shed_at=row["shed_at"],
        lost_at=row["lost_at"],
        changed_at=row["changed_at"],
    )
    return FeedEntry(change.model_dump_json(by_alias=True).encode(), row["ven_id"], row["event_id"])
