"""VENs that go on- and offline."""

from api.queries.feed import fetch_online, fetch_presence
from api.sse.broadcaster import Broadcaster
from api.sse.message_ids import now_micros
from api.sse.messages import FeedEntry
from runtime.database import Pool
from schemas.rest.feed import VenChange

ENTRIES = 500


class VenPoller:
    """Knows who was online at the last look."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, offline_after: float) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._offline_after = offline_after
        self._online: set[str] | None = None

    async def poll(self) -> None:
        """Tell who came and who went since the last look."""
        began = now_micros()
        online = await fetch_online(self._pool, self._offline_after)
        if self._online is None:
            # Who came and went before this process was there is written nowhere.
            self._broadcaster.replay_buffer.covers("vens", began)
            self._online = online
            return
        changed = sorted(online ^ self._online)
        for first in range(0, len(changed), ENTRIES):
            await self._tell(changed[first : first + ENTRIES])
        self._online = online

    async def _tell(self, ven_ids: list[str]) -> None:
        rows = await fetch_presence(self._pool, self._offline_after, ven_ids)
        there = {
            row["ven_id"]: VenChange(
                id=row["ven_id"], name=row["name"], status=row["status"], last_seen=row["received_at"]
            )
            for row in rows
        }
        gone = (VenChange(id=ven_id, name=ven_id, status="deleted", last_seen=None) for ven_id in ven_ids)
        changes = [there.get(change.id, change) for change in gone]
        self._broadcaster.publish(
            "vens", [FeedEntry(each.model_dump_json(by_alias=True).encode(), ven_id=each.id) for each in changes]
        )
