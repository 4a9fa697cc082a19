"""The API's connection pools: one for requests, one for health checks, one for the live feed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from runtime.database import Pool, connect_options
from schemas.settings.blocks import ApiSettings, DatabaseSettings


class Pools(NamedTuple):
    """Requests that wait for a connection cannot block health checks or the live feed."""

    requests: Pool
    health: Pool
    feed: Pool


class TimeoutPool(Pool):
    """Waits for a free connection at most as long as for a statement; a plain asyncpg pool waits for ever."""

    def __init__(self, options: dict[str, Any], max_size: int) -> None:
        super().__init__(
            **options,
            min_size=0,
            max_size=max_size,
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
        self._acquire_timeout: float = options["command_timeout"]

    def acquire(self, *, timeout: float | None = None) -> Any:
        return super().acquire(timeout=self._acquire_timeout if timeout is None else timeout)


@asynccontextmanager
async def open_pools(database: DatabaseSettings, api: ApiSettings) -> AsyncIterator[Pools]:
    """Open the pools; each connects when it is first used."""
    timeout = min(database.db_timeout, api.api_db_timeout)
    options = connect_options(database.model_copy(update={"db_timeout": timeout}), "gateway-api")
    async with (
        TimeoutPool(options, api.api_pool_size) as requests,
        TimeoutPool(options, 1) as health,
        TimeoutPool(options, 1) as feed,
    ):
        yield Pools(requests, health, feed)
