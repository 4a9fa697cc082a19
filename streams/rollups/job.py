"""The background job that rolls up closed minutes and recomputes late ones, beside the role `sink`."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from runtime.database import Connection
from schemas.tables.buckets import HOUR, MINUTE, floor_to
from schemas.tables.partitioning import day_of
from streams.rollups import store as rollup_store
from streams.rollups.energy_today import show_energy
from streams.store.database import Database, now_of
from streams.store.day_partitions import DayPartitions
from streams.store.leader_lock import LeaderLock

RUN_EVERY_SECONDS = 5.0
CLOSED_AFTER = timedelta(seconds=20)
"""How long after its end a minute is closed. Later readings cost a recomputation, nothing more."""

MAX_INTERVAL = timedelta(minutes=10)
"""What one transaction rolls up: it must end within DB_TIMEOUT, or it would be retried for ever."""
LATE_BATCH = 5000
STALE_BATCH = 20
MAX_STALE_BATCHES = 10

LOCK_NAME = "rollups"

MAX_HOLD = timedelta(days=3)
"""How long a power holds at most: three report intervals of a day."""


def add_rollups(app: Any, database: Database, partitions: DayPartitions, hold_seconds: float) -> None:
    """Register the job with the app. Give it a database connection of its own, so that it delays no batch.

    `hold_seconds` is ENERGY_HOLD_SECONDS.
    """

    @app.task  # type: ignore[untyped-decorator]
    async def roll_up() -> None:
        while not app.should_stop:
            await RollUp(database, partitions, hold_seconds).step()
            await app.sleep(RUN_EVERY_SECONDS)


class RollUp:
    """The job; each step does all that is due."""

    def __init__(self, database: Database, partitions: DayPartitions, hold_seconds: float) -> None:
        self._database = database
        self._hold_seconds = hold_seconds
        self._lock = LeaderLock(database, LOCK_NAME)
        self._partitions = partitions

    async def step(self, now: datetime | None = None) -> None:
        """Do all that is due at `now`, by default the database's time."""
        moment = await self._database.run(now_of) if now is None else now
        before = floor_to(moment - CLOSED_AFTER, MINUTE)
        await self._lock.run_if_leader(partial(rollup_store.close_minutes, before=before))
        while await self._roll_up_interval():
            pass
        await self._recompute_late()
        for _ in range(MAX_STALE_BATCHES):
            if not await self._lock.run_if_leader(partial(rollup_store.refresh_network, limit=STALE_BATCH)):
                break
        await self._lock.run_if_leader(partial(show_energy, now=moment))

    async def _roll_up_interval(self) -> bool:
        begin = await self._database.run(rollup_store.rolled_up_to)
        await self._partitions.ensure({day_of(begin - HOUR), day_of(begin), day_of(begin + MAX_INTERVAL)})
        interval = 2 * MAX_INTERVAL

        async def roll_up(connection: Connection) -> bool:
            # Each retry does half as much, in whole minutes, because the last try may have timed out.
            nonlocal interval
            interval = max(MINUTE, interval // 2 // MINUTE * MINUTE)
            return await rollup_store.roll_up(connection, self._hold_seconds, interval)

        return bool(await self._lock.run_if_leader(roll_up))

    async def _recompute_late(self) -> None:
        days = await self._database.run(rollup_store.late_days)
        await self._partitions.ensure(
            day_of(day + timedelta(days=held)) for day in days for held in range(MAX_HOLD.days + 1)
        )

        async def recompute(connection: Connection) -> int:
            return await rollup_store.recompute_late(connection, self._hold_seconds, days, LATE_BATCH)

        if days:
            while await self._lock.run_if_leader(recompute):
                pass
