"""The API's connections to PostgreSQL: those of requests, and one each that health checks and the feed have alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from runtime.database import Pool, connect_options
from schemas.settings.blocks import ApiSettings, DatabaseSettings


class Pools(NamedTuple):
    """Requests that wait for the database, however many, leave health checks and the feed alone."""

    requests: Pool
    health: Pool
    feed: Pool


class TimeoutPool(Pool):
    """Waits for a free connection no longer than for a statement; asyncpg's own waits for ever."""

    def __init__(self, options: dict[str, Any], most: int) -> None:
        super().__init__(
            **options,
            min_size=0,
            max_size=most,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            connect=None,
            setup=None,
            init=None,
            reset=None,
            loop=None,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
        )
        self._patience: float = options["command_timeout"]

    def acquire(self, *, timeout: float | None = None) -> Any:
        return super().acquire(timeout=self._patience if timeout is None else timeout)


@asynccontextmanager
async def open_pools(database: DatabaseSettings, api: ApiSettings) -> AsyncIterator[Pools]:
    """Have them inside. Nothing is connected before it is asked for."""
    patience = min(database.db_timeout, api.api_db_timeout)
    options = connect_options(database.model_copy(update={"db_timeout": patience}), "gateway-api")
    async with (
        TimeoutPool(options, api.api_pool_size) as requests,
        TimeoutPool(options, 1) as health,
        TimeoutPool(options, 1) as feed,
    ):
        yield Pools(requests, health, feed)
