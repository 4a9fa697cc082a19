"""The buckets of the network that are under way: made once for all who ask in the same moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from api.queries.history import fetch_open_network
from runtime.database import Pool
from schemas.tables.buckets import Granularity

FRESH_SECONDS = 2.0
"""So old may they be: they cost a look at every VEN."""


CLOCKS_AHEAD = timedelta(days=1)
"""More than the clocks of VENs may be ahead: what they measure belongs here."""


class OpenBucketCache:
    """Remembers the last answer of each granularity for a moment; whoever asks meanwhile waits for the same one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked: dict[Granularity, tuple[float, datetime, asyncio.Task[list[asyncpg.Record]]]] = {}

    async def since(self, start: datetime, granularity: Granularity) -> list[asyncpg.Record]:
        """Return the buckets of the network from `start` (the beginning of one) until now."""
        asked = self._asked.get(granularity)
        if asked is None or asked[1] != start or time.monotonic() - asked[0] > FRESH_SECONDS:
            end = datetime.now(UTC) + CLOCKS_AHEAD
            making = asyncio.create_task(fetch_open_network(self._pool, start, end, granularity))
            asked = self._asked[granularity] = (time.monotonic(), start, making)
        # Others wait for it, too: one who leaves must not end it.
        return await asyncio.shield(asked[2])
