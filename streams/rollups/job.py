"""Rollups beside the role `sink`: closed minutes are rolled up, and rolled up again when something came late."""

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from runtime.database import Connection
from schemas.tables.buckets import HOUR, MINUTE, floor_to
from schemas.tables.partitioning import day_of
from streams.rollups import store as rollup_store
from streams.store.database import Database, now_of
from streams.store.day_partitions import DayPartitions
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
CLOSED_AFTER = timedelta(seconds=20)
"""How long a minute is waited for after its end: what comes later costs a second computation, no more."""

STRETCH = timedelta(minutes=10)
"""What is caught up at once: each statement about it has to end within DB_TIMEOUT, or would be tried for ever."""
LATE_AT_ONCE = 5000
STALE_AT_ONCE = 20
STALE_ROUNDS = 10

LOCK_NAME = "rollups"


def add_rollups(app: Any, database: Database, partitions: DayPartitions) -> None:
    """Register the rolling up with the app; the database is its own, so that no batch waits for it."""

    @app.task  # type: ignore[untyped-decorator]
    async def roll_up() -> None:
        while not app.should_stop:
            await RollUp(database, partitions).step()
            await app.sleep(EVERY_SECONDS)


class RollUp:
    """One look at what there is to roll up."""

    def __init__(self, database: Database, partitions: DayPartitions) -> None:
        self._database = database
        self._lock = LeaderLock(database, LOCK_NAME)
        self._partitions = partitions

    async def step(self, now: datetime | None = None) -> None:
        """Roll up everything that is due; `now` is the database's time unless given."""
        moment = await self._database.run(now_of) if now is None else now
        await self._lock.run_if_leader(partial(rollup_store.close, before=floor_to(moment - CLOSED_AFTER, MINUTE)))
        while await self._roll_up_a_stretch():
            pass
        while await self._lock.run_if_leader(partial(rollup_store.roll_up_again, most=LATE_AT_ONCE)):
            pass
        for _ in range(STALE_ROUNDS):
            if not await self._lock.run_if_leader(partial(rollup_store.refresh_network, most=STALE_AT_ONCE)):
                break

    async def _roll_up_a_stretch(self) -> bool:
        begin = await self._database.run(rollup_store.rolled_up_to)
        await self._partitions.ensure({day_of(begin - HOUR), day_of(begin), day_of(begin + STRETCH)})
        most = 2 * STRETCH

        async def roll_up(connection: Connection) -> bool:
            # Every try is half as long as the last, which may have been too long; a minute is never split.
            nonlocal most
            most = max(MINUTE, most // 2 // MINUTE * MINUTE)
            return await rollup_store.roll_up(connection, most)

        return bool(await self._lock.run_if_leader(roll_up))
