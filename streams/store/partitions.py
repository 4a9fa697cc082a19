"""One partition a day: made before the first row of the day needs it, and dropped when the day is past keeping."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import date, datetime, timedelta
from functools import partial

import asyncpg

from runtime.database import Connection
from schemas.base.time_window import TimeWindow
from schemas.tables.partitioning import DROPPING, PARTITIONED, create_partition, partition_name
from streams.store.database import Database

logger = logging.getLogger(__name__)

LOCK = "SELECT pg_advisory_xact_lock(hashtext('gateway.partitions'))"  # two workers take turns

# Every table that has the name of a partition, and what is left of it to undo.
PARTITIONS = """
SELECT part.relname AS name, inhrelid IS NOT NULL AS attached, COALESCE(inhdetachpending, false) AS detaching
FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid
WHERE part.relnamespace = current_schema()::regnamespace AND part.relkind = 'r'
    AND part.relname ~ ('^' || $1 || '_\\d{8}(_dropping)?$')
ORDER BY part.relname
"""


_TRIES = 5


class Partitions:
    """Knows which days have their partitions, makes missing ones and drops old ones."""

    def __init__(self, database: Database, window: TimeWindow, ahead_days: int) -> None:
        self._database = database
        self._window = window
        self._ahead_days = ahead_days
        self._known: set[date] = set()

    async def ensure(self, days: Iterable[date]) -> None:
        """Make the partitions of these days (UTC) where they are missing."""
        missing = sorted(set(days) - self._known)
        if not missing:
            return

        async def create(connection: Connection) -> None:
            await connection.execute(LOCK)
            for table in PARTITIONED:
                attached = {row["name"] for row in await _list(connection, table) if row["attached"]}
                for day in missing:
                    if partition_name(table, day) not in attached:
                        for statement in create_partition(table, day):
                            await connection.execute(statement)

        await self._database.run(create)
        self._known.update(missing)

    async def with_days(self, days: set[date], work: Callable[[], Awaitable[None]]) -> None:
        """Do work whose rows belong to these days; where a partition has gone since it was seen, again."""
        for _ in range(_TRIES):
            await self.ensure(days)
            try:
                return await work()
            except asyncpg.CheckViolationError:
                # "No partition of relation found": no fault of the rows.
                self._known -= days
        raise RuntimeError(f"the partitions of {sorted(days)} are gone as soon as they are made")

    async def maintain(self) -> None:
        """Make the days ahead and drop the days past keeping; to be called now and then."""
        # The database's clock, for one wrong clock of a worker must not drop what all others still need.
        now = await self._database.run(_now)
        self._known.clear()
        await self.ensure(now.date() + timedelta(days=offset) for offset in range(-1, self._ahead_days + 1))
        first_day = self._window.first_day(now)
        for table in PARTITIONED:
            for row in await self._database.run(partial(_list, parent=table)):
                old = row["attached"] and row["name"] < partition_name(table, first_day)
                if old or row["name"].endswith(DROPPING):
                    await self._drop(table, row)

    async def _drop(self, parent: str, partition: asyncpg.Record) -> None:
        """Detach without blocking anybody, then drop. Another worker may be at it, and then it is left to that one."""
        name = partition["name"].removesuffix(DROPPING)
        how = "FINALIZE" if partition["detaching"] else "CONCURRENTLY"
        try:
            async with self._database.one_more() as connection:
                if partition["attached"]:
                    await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} {how}")
                    await connection.execute(f"ALTER TABLE {name} RENAME TO {name}{DROPPING}")
                await connection.execute(f"DROP TABLE IF EXISTS {name}{DROPPING}")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, OSError) as error:
            logger.warning("could not drop %s yet: %s", name, error, extra={"action": "partition_drop_failed"})
        else:
            logger.info("dropped %s", name, extra={"action": "partition_dropped"})


async def _now(connection: Connection) -> datetime:
    now: datetime = await connection.fetchval("SELECT now()")
    return now


async def _list(connection: Connection, parent: str) -> list[asyncpg.Record]:
    return await connection.fetch(PARTITIONS, parent)
