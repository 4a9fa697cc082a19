"""VTN messages: events and responses of another VTN, stored for the record in the table `notices`."""

from datetime import datetime

import asyncpg

from runtime.database import Pool

COUNT = """
SELECT count(*) FROM notices
WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR ven_id = $2)
    AND time >= COALESCE($3, '-infinity'::timestamptz) AND time < COALESCE($4, 'infinity'::timestamptz)
"""
NEWEST = """
SELECT time, received_at, last_received_at, kind, topic, ven_id, document FROM notices
WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR ven_id = $2)
    AND time >= COALESCE($3, '-infinity'::timestamptz) AND time < COALESCE($4, 'infinity'::timestamptz)
ORDER BY time DESC, kind DESC, digest DESC LIMIT $5
"""


async def fetch_notices(
    pool: Pool, kind: str | None, ven_id: str | None, bounds: tuple[datetime | None, datetime | None], limit: int
) -> tuple[int, list[asyncpg.Record]]:
    """Return the number of messages that match and the newest of them, oldest first."""
    matching = (kind, ven_id, *bounds)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT, *matching)
        rows = await connection.fetch(NEWEST, *matching, limit)
    return int(total), rows[::-1]
