"""One connection to PostgreSQL that comes back: an outage is waited out, never an error of the data."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from runtime.backoff import Backoff
from runtime.database import Connection, connect_options
from runtime.database_tls import in_words
from schemas.readings import encode_record
from schemas.settings import DatabaseSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

DATA_FAULTS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""What the server refuses for good. All else passes: outages, missing tables, missing rights."""


class Database:
    """Runs work in transactions on its one connection, one after another, each until the server took it."""

    def __init__(self, settings: DatabaseSettings, application: str) -> None:
        self._options = connect_options(settings, application)
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether the last work found the server."""
        return self._connection is not None and not self._connection.is_closed()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` in a transaction until it is committed.

        Raises:
            DATA_FAULTS: trying again is no use.
        """
        backoff = Backoff(most=5)
        async with self._turn:
            while True:
                try:
                    connection = await self._connected()
                    async with connection.transaction():
                        return await work(connection)
                except DATA_FAULTS:
                    raise
                except (
                    OSError,
                    TimeoutError,
                    asyncpg.PostgresError,
                    asyncpg.InterfaceError,
                    asyncpg.InternalClientError,  # a connection that was cut in the middle of a COPY
                ) as error:
                    logger.warning(
                        "the database did not take it, trying again: %s",
                        in_words(error),
                        extra={"action": "database_retry"},
                    )
                    self.close()
                    await backoff.wait()

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[Connection]:
        """Have a second connection, outside any transaction."""
        connection = await asyncpg.connect(**self._options)
        try:
            yield connection
        finally:
            connection.terminate()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(**self._options)
        return self._connection

    def close(self) -> None:
        """Give the connection back, at once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def now_of(connection: Connection) -> datetime:
    """Return the time by the database's clock, at which this transaction began."""
    now: datetime = await connection.fetchval("SELECT now()")
    return now


@asynccontextmanager
async def database(settings: DatabaseSettings, application: str) -> AsyncIterator[Database]:
    """Open a Database for the time of the context; connects when it is first used."""
    opened = Database(settings, application)
    try:
        yield opened
    finally:
        opened.close()


def json_text(value: Any) -> str | None:
    """Return what asyncpg takes for JSONB, null when there is nothing."""
    return encode_record(value).decode() if value else None
