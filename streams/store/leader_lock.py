"""Leader election per transaction: an advisory lock lets one worker at a time do a kind of work.

All state of the work is in the database, so the next transaction may run on another worker.
"""

import logging
from collections.abc import Awaitable, Callable

from runtime.database import Connection
from streams.store.database import DATA_FAULTS, Database, T

logger = logging.getLogger(__name__)

# PostgreSQL releases it at the end of the transaction or of the connection.
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('gateway.' || $1))"


class NotLeaderError(Exception):
    """Another worker holds the lock; nothing was done."""


class LeaderLock:
    """Runs transactions under the advisory lock `gateway.<name>`.

    Give it a database connection of its own, so that it delays no batch.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` in a transaction that holds the lock.

        Raises:
            NotLeaderError: another worker holds the lock.
            DATA_FAULTS: the database refuses the data.
        """

        async def leading(connection: Connection) -> T:
            if not await connection.fetchval(TRY_LOCK, self._name):
                raise NotLeaderError(self._name)
            return await work(connection)

        return await self._database.run(leading)

    async def run_if_leader(self, work: Callable[[Connection], Awaitable[T]]) -> T | None:
        """Run `work` as `run` does; return None if another worker holds the lock. Raises DATA_FAULTS."""
        try:
            return await self.run(work)
        except NotLeaderError:
            return None

    async def run_or_skip(self, work: Callable[[Connection], Awaitable[T]], subject: str) -> T | None:
        """Run `work` as `run_if_leader` does; log a data fault about `subject` and return None.

        One event that the database refuses must neither end the role nor block the others.
        """
        try:
            return await self.run_if_leader(work)
        except DATA_FAULTS as error:
            # Most likely a correlation id that exists already: the next attempt draws new ones.
            logger.warning(
                "the database refused %s, trying again later: %s",
                subject,
                error,
                extra={"action": "transaction_refused"},
            )
            return None
