"""Readings of one VEN over an interval of time."""

from datetime import datetime

import asyncpg

from runtime.database import Pool

COUNT = """
SELECT count(*)
FROM telemetry_readings
WHERE ven_id = $1 AND time >= $2 AND time < COALESCE($3, 'infinity'::timestamptz)
"""

NEWEST = """
SELECT time, used_power_kw, shed_power_kw, requested_reduction_kw, event_id, battery_soc, baseline_power_kw
FROM telemetry_readings
WHERE ven_id = $1 AND time >= $2 AND time < COALESCE($3, 'infinity'::timestamptz)
ORDER BY time DESC
LIMIT $4
"""


async def fetch_telemetry(
    pool: Pool, ven_id: str, start: datetime, end: datetime | None, limit: int
) -> tuple[int, list[asyncpg.Record]]:
    """Return how many readings lie in [start, end), and the newest of them, oldest first; `end` None has no bound."""
    interval = (ven_id, start, end)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT, *interval)
        rows = await connection.fetch(NEWEST, *interval, limit)
    return int(total), rows[::-1]
