"""Readings of one VEN."""

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
    """Return the number of readings in [start, end) and the newest of them, oldest first; `end` may be None."""
    range_of_ven = (ven_id, start, end)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT, *range_of_ven)
        rows = await connection.fetch(NEWEST, *range_of_ven, limit)
    return int(total), rows[::-1]
