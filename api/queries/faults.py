"""Fault reports of a VEN."""

from datetime import datetime

import asyncpg

from runtime.database import Pool

COUNT = """
SELECT count(*) FROM ven_faults
WHERE ven_id = $1 AND time >= COALESCE($2, '-infinity'::timestamptz) AND time < COALESCE($3, 'infinity'::timestamptz)
"""
NEWEST = """
SELECT time, received_at, error FROM ven_faults
WHERE ven_id = $1 AND time >= COALESCE($2, '-infinity'::timestamptz) AND time < COALESCE($3, 'infinity'::timestamptz)
ORDER BY time DESC LIMIT $4
"""


async def fetch_faults(
    pool: Pool, ven_id: str, bounds: tuple[datetime | None, datetime | None], limit: int
) -> tuple[int, list[asyncpg.Record]]:
    """Return the number of reports in [start, end) and the newest of them, oldest first."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT, ven_id, *bounds)
        rows = await connection.fetch(NEWEST, ven_id, *bounds, limit)
    return int(total), rows[::-1]
