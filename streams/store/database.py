"""One connection to PostgreSQL that comes back: an outage is waited out, never an error of the data."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from runtime.backoff import Backoff
from runtime.cancellation import cancellations
from runtime.database import Connection, connect_options
from runtime.database_tls import describe_failure
from schemas.records.telemetry import encode_record
from schemas.settings.blocks import DatabaseSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

DATA_FAULTS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""What the server refuses for good. All else passes: outages, missing tables, missing rights."""


class Database:
    """Runs work in transactions, each until the server took it; as many at a time as it has connections."""

    def __init__(self, settings: DatabaseSettings, application: str, connections: int = 1) -> None:
        self._options = connect_options(settings, application)
        self._free = asyncio.Semaphore(connections)
        self._in_use: set[Connection] = set()
        self._idle: list[Connection] = []
        self._reached = False

    @property
    def connected(self) -> bool:
        """Whether the last work found the server, and nobody has hung up since."""
        return self._reached and not any(connection.is_closed() for connection in self._idle)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` in a transaction until it is committed.

        Raises:
            DATA_FAULTS: trying again is no use.
        """
        backoff, before = Backoff(max_seconds=5), cancellations()
        async with self._free:
            while True:
                try:
                    async with self._connected() as connection, connection.transaction():
                        done = await work(connection)
                except DATA_FAULTS:
                    raise
                except (
                    OSError,
                    TimeoutError,
                    asyncpg.PostgresError,
                    asyncpg.InterfaceError,
                    asyncpg.InternalClientError,  # a connection that was cut in the middle of a COPY
                ) as error:
                    if cancellations() > before:
                        # Rolling back failed, too, and took the place of the cancellation.
                        raise asyncio.CancelledError from error
                    logger.warning(
                        "the database did not take it, trying again: %s",
                        describe_failure(error),
                        extra={"action": "database_retry"},
                    )
                    self._reached = False
                    await backoff.wait()
                else:
                    self._reached = True
                    return done

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[Connection]:
        """Have a second connection, outside any transaction."""
        connection = await asyncpg.connect(**self._options)
        try:
            yield connection
        finally:
            connection.terminate()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """Have a connection to oneself; when its work ends in an outage, those that are idle are mistrusted, too."""
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
            self._drop_idle()
            raise
        else:
            self._idle.append(connection)
        finally:
            self._in_use.discard(connection)
            # The last one is used again first, so nobody else would notice that others were hung up on.
            self._idle = [idle for idle in self._idle if not idle.is_closed()]

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    def close(self) -> None:
        """Give the connections back, at once."""
        self._drop_idle()
        for connection in self._in_use:
            connection.terminate()


async def now_of(connection: Connection) -> datetime:
    """Return the time by the database's clock, at which this transaction began."""
    now: datetime = await connection.fetchval("SELECT now()")
    return now


@asynccontextmanager
async def database(settings: DatabaseSettings, application: str, connections: int = 1) -> AsyncIterator[Database]:
    """Open a Database for the time of the context; connects when it is first used."""
    opened = Database(settings, application, connections)
    try:
        yield opened
    finally:
        opened.close()


def json_text(value: Any) -> str | None:
    """Return what asyncpg takes for JSONB, null when there is nothing."""
    return encode_record(value).decode() if value else None
