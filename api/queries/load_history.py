"""The history of a VEN's loads, from readings and load snapshots together."""

from datetime import datetime

import asyncpg

from runtime.database import Pool
from schemas.tables.buckets import WIDTHS, Granularity

HISTORY = """
SELECT date_bin($5::interval, time, 'epoch') AS timestamp,
       avg(current_power_kw) AS used_power_kw, avg(shed_capability_kw) AS shed_power_kw
FROM listed_loads($1, $2, $3, $4)
GROUP BY timestamp
HAVING count(current_power_kw) + count(shed_capability_kw) > 0
ORDER BY timestamp
"""
COUNT = "SELECT count(*) FROM listed_loads($1, $2, $3, $4)"
NEWEST = "SELECT * FROM listed_loads($1, $2, $3, $4) ORDER BY time DESC, load_id DESC LIMIT $5"


async def fetch_load_history(
    pool: Pool, ven_id: str, load_id: str, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of a load in [start, end)."""
    return await pool.fetch(HISTORY, ven_id, start, end, load_id, WIDTHS[granularity])


async def fetch_listed_loads(
    pool: Pool, ven_id: str, load_id: str | None, start: datetime, end: datetime, limit: int
) -> tuple[int, list[asyncpg.Record]]:
    """Return the number of rows of one load, or all, of a VEN in [start, end), and the newest, oldest first."""
    arguments = (ven_id, start, end, load_id)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT, *arguments)
        rows = await connection.fetch(NEWEST, *arguments, limit)
    return int(total), rows[::-1]
