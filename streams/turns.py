"""Work that one worker does at a time, whichever: it is decided by rows alone, so the next turn may be another's."""

import logging
from collections.abc import Awaitable, Callable

from runtime.database import Connection
from streams.store.database import DATA_FAULTS, Database, T

logger = logging.getLogger(__name__)

# The turn ends with the transaction, or with the connection.
LEAD = "SELECT pg_try_advisory_xact_lock(hashtext('gateway.' || $1))"


class Turns:
    """The turns of one kind of work, on a connection of its own: nothing waits for it, nor it for anything."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def take(self, work: Callable[[Connection], Awaitable[T]]) -> T | None:
        """Do work in a transaction, unless another worker has the turn.

        Raises:
            DATA_FAULTS: the database refuses it.
        """

        async def leading(connection: Connection) -> T | None:
            return await work(connection) if await connection.fetchval(LEAD, self._name) else None

        return await self._database.run(leading)

    async def attempt(self, work: Callable[[Connection], Awaitable[None]], what: str) -> None:
        """Do work; what the database refuses keeps neither the rest waiting nor ends the role."""
        try:
            await self.take(work)
        except DATA_FAULTS as error:
            # A correlation id that was given before, most likely: the next look makes others at random.
            logger.warning("%s is looked at once more: %s", what, error, extra={"action": "dispatch_again"})
