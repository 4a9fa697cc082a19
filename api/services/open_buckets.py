"""The network's buckets that are not closed yet, computed once for all requests of the same moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg

from api.queries.network_history import fetch_open_network
from runtime.database import Pool
from schemas.tables.buckets import Granularity

FRESH_SECONDS = 2.0
"""How old a result may be: each reads rows of every VEN."""

CLOCKS_AHEAD = timedelta(days=1)
"""More than the clocks of VENs may be ahead, so that all their readings are included."""


class _Result(NamedTuple):
    requested_at: float
    start: datetime
    rows: asyncio.Task[list[asyncpg.Record]]


class OpenBucketCache:
    """Keeps the last result of each granularity for two seconds. Concurrent requests wait for the same query."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._results: dict[Granularity, _Result] = {}

    async def since(self, start: datetime, granularity: Granularity) -> list[asyncpg.Record]:
        """Return the network's buckets from `start` (the start of a bucket) until now."""
        result = self._results.get(granularity)
        if result is None or result.start != start or time.monotonic() - result.requested_at > FRESH_SECONDS:
            end = datetime.now(UTC) + CLOCKS_AHEAD
            query = asyncio.create_task(fetch_open_network(self._pool, start, end, granularity))
            result = self._results[granularity] = _Result(time.monotonic(), start, query)
        # Other requests wait for it too, so a cancelled one must not cancel the query.
        return await asyncio.shield(result.rows)
