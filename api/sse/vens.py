"""VENs that go online or offline, or are deleted."""

from api.queries.feed import fetch_online, fetch_presence
from api.sse.broadcaster import Broadcaster
from api.sse.message_ids import now_micros
from api.sse.messages import FeedEntry
from runtime.database import Pool
from schemas.rest.feed import VenChange

MAX_ENTRIES = 500
"""Of one message."""


class VenPoller:
    """Compares the online VENs with those of the last poll."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, offline_after: float) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._offline_after = offline_after
        self._online: set[str] | None = None

    async def poll(self) -> None:
        """Publish the VENs that changed since the last poll."""
        started = now_micros()
        online = await fetch_online(self._pool, self._offline_after)
        if self._online is None:
            # The database does not record changes from before this process.
            self._broadcaster.replay_buffer.mark_complete("vens", started)
            self._online = online
            return
        changed = sorted(online ^ self._online)
        for first in range(0, len(changed), MAX_ENTRIES):
            await self._publish(changed[first : first + MAX_ENTRIES])
        self._online = online

    async def _publish(self, ven_ids: list[str]) -> None:
        rows = await fetch_presence(self._pool, self._offline_after, ven_ids)
        registered = {
            row["ven_id"]: VenChange(
                id=row["ven_id"], name=row["name"], status=row["status"], last_seen=row["received_at"]
            )
            for row in rows
        }
        deleted = (VenChange(id=ven_id, name=ven_id, status="deleted", last_seen=None) for ven_id in ven_ids)
        changes = [registered.get(change.id, change) for change in deleted]
        self._broadcaster.publish(
            "vens", [FeedEntry(each.model_dump_json(by_alias=True).encode(), ven_id=each.id) for each in changes]
        )
