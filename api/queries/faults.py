"""Fault reports of one VEN over an interval of time."""

import asyncpg

from api.http.time_range import TimeBounds
from runtime.database import Pool

OF_VEN = """
FROM ven_faults
WHERE ven_id = $1 AND time >= COALESCE($2, '-infinity'::timestamptz) AND time < COALESCE($3, 'infinity'::timestamptz)
"""

COUNT = "SELECT count(*)" + OF_VEN
NEWEST = "SELECT time, received_at, error" + OF_VEN + "ORDER BY time DESC LIMIT $4"


async def fetch_faults(pool: Pool, ven_id: str, bounds: TimeBounds, limit: int) -> tuple[int, list[asyncpg.Record]]:
    """Return how many reports lie in the interval, and the newest of them, oldest first."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT, ven_id, *bounds)
        rows = await connection.fetch(NEWEST, ven_id, *bounds, limit)
    return int(total), rows[::-1]
