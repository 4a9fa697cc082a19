"""Settlement beside the role `sink`: the figures of DR events that are over, again when samples came late."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import asyncpg

from runtime.database import Connection
from streams.rules.settling import is_due
from streams.store import settlement
from streams.store.database import Database

logger = logging.getLogger(__name__)

T = TypeVar("T")

EVERY_SECONDS = 1.0

# One worker at a time; the lock is given back with the transaction, or the connection.
LEAD = "SELECT pg_try_advisory_xact_lock(hashtext('gateway.settlement'))"


class _OtherLeadsError(Exception):
    """Another worker is at it."""


def add_settlement(app: Any, database: Database, hold_seconds: float) -> None:
    """Register the settlement with the app; the database is its own, so that no batch waits for it.

    A sample covers `hold_seconds` of an event at most: as long as it makes its VEN online.
    """

    @app.task  # type: ignore[untyped-decorator]
    async def settle() -> None:
        while not app.should_stop:
            await Settlement(database, hold_seconds).step()
            await app.sleep(EVERY_SECONDS)


class Settlement:
    """One look at what there is to settle."""

    def __init__(self, database: Database, hold_seconds: float) -> None:
        self._database = database
        self._hold_seconds = hold_seconds

    async def step(self, now: datetime | None = None) -> None:
        """Settle every event that is due, unless another worker is at it; `now` is the database's time if not given."""
        moment = await self._database.run(_now) if now is None else now
        try:
            for event in await self._work(settlement.unsettled):
                if is_due(event["known_at"], event["figured_at"], moment):
                    await self._settle(event, moment)
        except _OtherLeadsError:
            return

    async def _settle(self, event: asyncpg.Record, moment: datetime) -> None:
        ven_ids = await self._work(partial(settlement.vens_of, event=event))
        for first in range(0, len(ven_ids), settlement.VENS_AT_ONCE):
            some = ven_ids[first : first + settlement.VENS_AT_ONCE]
            await self._work(partial(settlement.keep, event=event, ven_ids=some, hold_seconds=self._hold_seconds))
        await self._work(partial(settlement.settled, event=event, moment=moment))
        logger.info("settled %s with %d VENs", event["event_id"], len(ven_ids), extra={"action": "event_settled"})

    async def _work(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do a piece of work in a transaction of its own.

        Raises:
            _OtherLeadsError: another worker is at it; nothing was done.
        """

        async def leading(connection: Connection) -> T:
            if not await connection.fetchval(LEAD):
                raise _OtherLeadsError
            return await work(connection)

        return await self._database.run(leading)


async def _now(connection: Connection) -> datetime:
    now: datetime = await connection.fetchval("SELECT now()")
    return now
