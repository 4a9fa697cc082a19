"""Day partitions: created before their first row, dropped when the retention ends."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import date, timedelta
from functools import partial

import asyncpg

from runtime.database import Connection
from schemas.base.time_window import TimeWindow
from schemas.tables.partitioning import DROPPING, PARTITIONED, create_partition, partition_name
from streams.store.database import Database, now_of

logger = logging.getLogger(__name__)

LOCK = "SELECT pg_advisory_xact_lock(hashtext('gateway.partitions'))"  # one worker at a time

# All tables with a partition's name, also those that a crash left detached or half detached.
PARTITIONS = """
SELECT part.relname AS name, inhrelid IS NOT NULL AS attached, COALESCE(inhdetachpending, false) AS detaching
FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid
WHERE part.relnamespace = current_schema()::regnamespace AND part.relkind = 'r'
    AND part.relname ~ ('^' || $1 || '_\\d{8}(_dropping)?$')
ORDER BY part.relname
"""

_TRIES = 5


class DayPartitions:
    """Creates missing day partitions and drops old ones; remembers which exist."""

    def __init__(self, database: Database, window: TimeWindow, ahead_days: int) -> None:
        self._database = database
        self._window = window
        self._ahead_days = ahead_days
        self._existing: set[date] = set()

    async def ensure(self, days: Iterable[date]) -> None:
        """Create the missing partitions of these days (UTC)."""
        missing = sorted(set(days) - self._existing)
        if not missing:
            return

        async def create(connection: Connection) -> None:
            await connection.execute(LOCK)
            for table in PARTITIONED:
                attached = {row["name"] for row in await _list_partitions(connection, table) if row["attached"]}
                for day in missing:
                    if partition_name(table, day) not in attached:
                        for statement in create_partition(table, day):
                            await connection.execute(statement)

        await self._database.run(create)
        self._existing.update(missing)

    async def with_days(self, days: set[date], work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`, which inserts rows of these days; repeat it if another worker dropped a partition meanwhile."""
        for _ in range(_TRIES):
            await self.ensure(days)
            try:
                return await work()
            except asyncpg.CheckViolationError:
                # "no partition of relation found for row"
                self._existing -= days
        raise RuntimeError(f"the partitions of {sorted(days)} were dropped {_TRIES} times before a row was inserted")

    async def maintain(self) -> None:
        """Create the partitions of the next days and drop those past the retention. Call it every few minutes."""
        # The database's clock: a worker whose clock is wrong must not drop partitions that others need.
        now = await self._database.run(now_of)
        self._existing.clear()
        await self.ensure(now.date() + timedelta(days=offset) for offset in range(-1, self._ahead_days + 1))
        first_day = self._window.first_day(now)
        for table in PARTITIONED:
            for row in await self._database.run(partial(_list_partitions, parent=table)):
                old = row["attached"] and row["name"] < partition_name(table, first_day)
                if old or row["name"].endswith(DROPPING):
                    await self._drop(table, row)

    async def _drop(self, parent: str, partition: asyncpg.Record) -> None:
        """Detach a partition without blocking queries, then drop it; another worker may be doing the same."""
        name = partition["name"].removesuffix(DROPPING)
        how = "FINALIZE" if partition["detaching"] else "CONCURRENTLY"
        try:
            async with self._database.separate_connection() as connection:
                if partition["attached"]:
                    await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} {how}")
                    await connection.execute(f"ALTER TABLE {name} RENAME TO {name}{DROPPING}")
                await connection.execute(f"DROP TABLE IF EXISTS {name}{DROPPING}")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, OSError) as error:
            logger.warning(
                "could not drop partition %s, trying again later: %s",
                name,
                error,
                extra={"action": "partition_drop_failed"},
            )
        else:
            logger.info("dropped partition %s", name, extra={"action": "partition_dropped"})


async def _list_partitions(connection: Connection, parent: str) -> list[asyncpg.Record]:
    return await connection.fetch(PARTITIONS, parent)
