"""The audit: each action is written in the same transaction as its changes, so that neither exists alone."""

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
    """One request, or command line, that may change something.

    If it is not done within `transaction`, the middleware writes the audit entry before the response is sent.
    """

    def __init__(
        self, who: Principal, method: str, path: str, request_id: str | None = None, address: str | None = None
    ) -> None:
        self.written = False
        """Whether the audit contains it."""
        self.repeated = False
        """Whether it was done before, and only its response is returned again."""
        self.result: str | None = None
        """The id of the event, command or key that it created, or the ids of the dead letters that it replays."""
        self._who = who
        self._what = (method[:_MAX_METHOD_LENGTH], path[:_MAX_PATH_LENGTH].replace("\0", ""))
        self._source = (request_id, address)

    @asynccontextmanager
    async def transaction(self, pool: Pool) -> AsyncIterator[PooledConnection]:
        """Open a transaction that ends with the audit entry; an exception rolls both back."""
        async with pool.acquire() as connection, connection.transaction():
            yield connection
            await self.write(connection, "repeated" if self.repeated else "done")
        self.written = True

    async def write(self, connection: Pool | PooledConnection, outcome: Outcome, status: int | None = None) -> None:
        """Write the audit entry."""
        who = self._who
        await insert_entry(
            connection, who.id, who.name, who.by, who.role, *self._what, outcome, status, self.result, *self._source
        )

    def __str__(self) -> str:
        """Return the action for the log."""
        return f"{self._who.id} ({self._who.role}): {' '.join(self._what)}"


def _current_action(request: Request) -> Any:
    return request.state.action


CurrentAction = Annotated[AuditedAction, Depends(_current_action)]
"""The action of a route that changes something."""
