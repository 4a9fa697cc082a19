"""Work that one worker does at a time, whichever: it is decided by rows alone, so the next turn may be another's."""

import logging
from collections.abc import Awaitable, Callable

from runtime.database import Connection
from streams.store.database import DATA_FAULTS, Database, T

logger = logging.getLogger(__name__)

# The turn ends with the transaction, or with the connection; who waits for the same name waits for the same turn.
LEAD = "SELECT pg_try_advisory_xact_lock(hashtext('gateway.' || $1))"


class NotOurTurnError(Exception):
    """Another worker has the turn; nothing was done."""


class Turns:
    """The turns of one kind of work, on a database connection that is its own, so that no batch waits for it."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def take(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work in a transaction.

        Raises:
            NotOurTurnError: another worker has the turn.
            DATA_FAULTS: the database refuses it.
        """

        async def leading(connection: Connection) -> T:
            if not await connection.fetchval(LEAD, self._name):
                raise NotOurTurnError(self._name)
            return await work(connection)

        return await self._database.run(leading)

    async def take_if_free(self, work: Callable[[Connection], Awaitable[T]]) -> T | None:
        """Do work in a transaction; None where another worker has the turn. Raises DATA_FAULTS."""
        try:
            return await self.take(work)
        except NotOurTurnError:
            return None

    async def attempt(self, work: Callable[[Connection], Awaitable[T]], what: str) -> T | None:
        """Do work; what the database refuses keeps neither the rest waiting nor ends the role.

        Returns what the work did; None where another worker has the turn, or the database refused it.
        """
        try:
            return await self.take_if_free(work)
        except DATA_FAULTS as error:
            # A correlation id that was given before, most likely: the next look makes others at random.
            logger.warning("%s is looked at once more: %s", what, error, extra={"action": "dispatch_again"})
            return None
