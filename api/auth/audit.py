"""What somebody does, written down where it is done: in the same transaction, so that neither is there alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, Request

from api.auth.principal import Principal
from api.queries.audit import insert_entry
from runtime.database import Pool, PooledConnection

Outcome = Literal["done", "repeated", "failed", "denied"]
_MAX_PATH_LENGTH = 1024
_MAX_METHOD_LENGTH = 16


class AuditedAction:
    """One request, or command, that may change something.

    What was not done in a transaction of `transaction` is written down by whoever answers the request.
    """

    def __init__(
        self, who: Principal, method: str, path: str, request_id: str | None = None, address: str | None = None
    ) -> None:
        self.kept = False
        self.repeated = False
        """Whether it was done before already, so that only its answer was given again."""
        self.result: str | None = None
        """What comes of it: the id of an event, a command or a key, or those of dead letters."""
        self._who = who
        self._what = (method[:_MAX_METHOD_LENGTH], path[:_MAX_PATH_LENGTH].replace("\0", ""))
        self._from = (request_id, address)

    @asynccontextmanager
    async def transaction(self, pool: Pool) -> AsyncIterator[PooledConnection]:
        """Have a transaction inside, which ends with the entry; what is raised undoes both."""
        async with pool.acquire() as connection, connection.transaction():
            yield connection
            await self.keep(connection, "repeated" if self.repeated else "done")
        self.kept = True

    async def keep(self, connection: Pool | PooledConnection, outcome: Outcome, status: int | None = None) -> None:
        """Write it down."""
        who = self._who
        await insert_entry(
            connection, who.id, who.name, who.by, who.role, *self._what, outcome, status, self.result, *self._from
        )

    def __str__(self) -> str:
        """Return it for the log."""
        return f"{self._who.id} ({self._who.role}): {' '.join(self._what)}"


def _deed(request: Request) -> Any:
    return request.state.action


CurrentAction = Annotated[AuditedAction, Depends(_deed)]
"""Of a route that changes something."""
