"""Transactions in PostgreSQL that are retried during an outage; only faults of the data are raised."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from runtime.backoff import Backoff
from runtime.cancellation import pending_cancellations
from runtime.database import Connection, connect_options
from runtime.database_tls import describe_failure
from schemas.records.telemetry import encode_record
from schemas.settings.blocks import DatabaseSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

TransactionHook = Callable[[Connection], Awaitable[None]]
"""Statements that a store runs inside the transaction of a batch."""

DATA_FAULTS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""Errors that trying again does not cure. All others may pass: outages, missing tables, missing privileges."""


class Database:
    """Runs transactions until they commit, at most `connections` at a time."""

    def __init__(self, settings: DatabaseSettings, application: str, connections: int = 1) -> None:
        self._options = connect_options(settings, application)
        self._free = asyncio.Semaphore(connections)
        self._in_use: set[Connection] = set()
        self._idle: list[Connection] = []
        self._reached = False

    @property
    def connected(self) -> bool:
        """Whether the last transaction committed and the server has closed no idle connection since."""
        return self._reached and not any(connection.is_closed() for connection in self._idle)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` in a transaction until it is committed.

        Raises:
            DATA_FAULTS: the database refuses the data.
        """
        backoff, before = Backoff(max_seconds=5), pending_cancellations()
        async with self._free:
            while True:
                try:
                    async with self._lend_connection() as connection, connection.transaction():
                        result = await work(connection)
                except DATA_FAULTS:
                    raise
                except (
                    OSError,
                    TimeoutError,
                    asyncpg.PostgresError,
                    asyncpg.InterfaceError,
                    asyncpg.InternalClientError,  # a connection that was lost during COPY
                ) as error:
                    if pending_cancellations() > before:
                        # The rollback failed, and its error replaced the cancellation.
                        raise asyncio.CancelledError from error
                    logger.warning(
                        "the database transaction failed, trying again: %s",
                        describe_failure(error),
                        extra={"action": "database_retry"},
                    )
                    self._reached = False
                    await backoff.wait()
                else:
                    self._reached = True
                    return result

    @asynccontextmanager
    async def separate_connection(self) -> AsyncIterator[Connection]:
        """Open one more connection, outside any transaction."""
        connection = await asyncpg.connect(**self._options)
        try:
            yield connection
        finally:
            connection.terminate()

    @asynccontextmanager
    async def _lend_connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. After an outage, close the idle ones too, because they may be dead."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                break
        else:
            connection = await asyncpg.connect(**self._options)
        self._in_use.add(connection)
        try:
            yield connection
        except DATA_FAULTS:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.terminate()
            self._close_idle()
            raise
        else:
            self._idle.append(connection)
        finally:
            self._in_use.discard(connection)
            # The last idle connection is used first, so the ones that the server closed would stay in the list.
            self._idle = [idle for idle in self._idle if not idle.is_closed()]

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    def close(self) -> None:
        """Close all connections at once."""
        self._close_idle()
        for connection in self._in_use:
            connection.terminate()


async def now_of(connection: Connection) -> datetime:
    """Return the start of this transaction by the database's clock."""
    now: datetime = await connection.fetchval("SELECT now()")
    return now


@asynccontextmanager
async def database(settings: DatabaseSettings, application: str, connections: int = 1) -> AsyncIterator[Database]:
    """Open a Database for the duration of the context; it connects on first use."""
    opened = Database(settings, application, connections)
    try:
        yield opened
    finally:
        opened.close()


def json_text(value: Any) -> str | None:
    """Encode a value for a JSONB column; None for an empty one."""
    return encode_record(value).decode() if value else None
