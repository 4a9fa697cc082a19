"""One partition a day: made before the first row of the day needs it, and dropped when the day is past keeping."""

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial

import asyncpg

from runtime.database import Connection
from schemas.partitions import create_partition, partition_name
from schemas.tables import PARTITIONED
from schemas.window import Window
from streams.store.database import Database

logger = logging.getLogger(__name__)

LOCK = "SELECT pg_advisory_xact_lock(hashtext('gateway.partitions'))"  # two workers take turns

# Every table that has the name of a partition, and what is left of it to undo.
PARTITIONS = """
SELECT part.relname AS name, inhrelid IS NOT NULL AS attached, COALESCE(inhdetachpending, false) AS detaching
FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid
WHERE part.relnamespace = current_schema()::regnamespace AND part.relkind = 'r'
    AND part.relname ~ ('^' || $1 || '_\\d{8}$')
ORDER BY part.relname
"""


class Partitions:
    """Knows which days have their partitions, makes missing ones and drops old ones."""

    def __init__(self, database: Database, window: Window, ahead_days: int) -> None:
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
                attached = {row["name"] for row in await _list(connection, table.name) if row["attached"]}
                for day in missing:
                    if partition_name(table.name, day) not in attached:
                        for statement in create_partition(table.name, day):
                            await connection.execute(statement)

        await self._database.run(create)
        self._known.update(missing)

    async def keep_house(self) -> None:
        """Make the days ahead and drop the days past keeping; to be called now and then."""
        now = datetime.now(UTC)
        self._known.clear()
        await self.ensure(now.date() + timedelta(days=offset) for offset in range(-1, self._ahead_days + 1))
        first_day = self._window.first_day(now)
        for table in PARTITIONED:
            for row in await self._database.run(partial(_list, parent=table.name)):
                if row["name"] < partition_name(table.name, first_day):
                    await self._drop(table.name, row)

    async def _drop(self, parent: str, partition: asyncpg.Record) -> None:
        """Detach without blocking anybody, then drop. Another worker may be at it, and then it is left to that one."""
        name = partition["name"]
        how = "FINALIZE" if partition["detaching"] else "CONCURRENTLY"
        connection = await self._database.connect()
        try:
            if partition["attached"]:
                await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} {how}")
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
        except (asyncpg.PostgresError, TimeoutError, OSError) as error:
            logger.warning("could not drop %s yet: %s", name, error, extra={"action": "partition_drop_failed"})
        else:
            logger.info("dropped %s", name, extra={"action": "partition_dropped"})
        finally:
            connection.terminate()


async def _list(connection: Connection, parent: str) -> list[asyncpg.Record]:
    return await connection.fetch(PARTITIONS, parent)
