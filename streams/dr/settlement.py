"""Settlement of completed DR events, beside the stream role `sink`; repeated for late samples."""

import logging
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg

from streams.dr import settlement_store
from streams.dr.settlement_schedule import is_due
from streams.store.database import Database, now_of
from streams.store.leader_lock import LeaderLock, NotLeaderError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0


def add_settlement(app: Any, database: Database, hold_seconds: float) -> None:
    """Register the settlement with the app; the database is its own, so that no batch waits for it.

    A statement about shedding holds for `hold_seconds`, or what the report interval of its VEN tells.
    """

    @app.task  # type: ignore[untyped-decorator]
    async def settle() -> None:
        while not app.should_stop:
            await Settlement(database, hold_seconds).step()
            await app.sleep(EVERY_SECONDS)


class Settlement:
    """Settles the events that are due."""

    def __init__(self, database: Database, hold_seconds: float) -> None:
        self._database = database
        self._lock = LeaderLock(database, "settlement")
        self._hold_seconds = hold_seconds

    async def step(self, now: datetime | None = None) -> None:
        """Settle every event that is due, unless another worker is at it; `now` is the database's time if not given."""
        moment = await self._database.run(now_of) if now is None else now
        try:
            for event in await self._lock.run(settlement_store.unsettled):
                if is_due(event["settle_from"], event["settled_at"], moment):
                    await self._settle(event, moment)
        except NotLeaderError:
            return

    async def _settle(self, event: asyncpg.Record, moment: datetime) -> None:
        ven_ids = await self._lock.run(partial(settlement_store.vens_of, event=event))
        for first in range(0, len(ven_ids), settlement_store.VENS_AT_ONCE):
            some = ven_ids[first : first + settlement_store.VENS_AT_ONCE]
            await self._lock.run(
                partial(settlement_store.store_delivered, event=event, ven_ids=some, hold_seconds=self._hold_seconds)
            )
        await self._lock.run(partial(settlement_store.mark_settled, event=event, moment=moment))
        about = {"action": "event_settled", "event_id": event["event_id"]}
        logger.info("settled %s with %d VENs", event["event_id"], len(ven_ids), extra=about)
