"""The history of a VEN.

Complete minutes come from the rollups, everything else from the readings: the edges of the range, the last minute or
two, and minutes with late readings that are not rolled up again yet. So the result is that of the readings.
"""

from datetime import datetime

import asyncpg

from api.queries.rolled_up import fetch_rolled_up_to, whole_buckets
from runtime.database import Pool
from schemas.tables.buckets import MINUTE, WIDTHS, Granularity

# $1 VEN, $2 width; readings in [$3, $4) and [$5, $6), rollups in [$4, $5).
HISTORY = """
SELECT date_bin($2::interval, time, 'epoch') AS timestamp,
       sum(used_sum) / NULLIF(sum(used_samples), 0) AS used_power_kw,
       sum(shed_sum) / NULLIF(sum(shed_samples), 0) AS shed_power_kw,
       (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
       (array_agg(requested_reduction_kw ORDER BY time DESC)
           FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw
FROM (
    SELECT time, used_samples, used_sum, shed_samples, shed_sum, event_id, requested_reduction_kw
    FROM reading_sums
    WHERE ven_id = $1 AND time >= $3 AND time < $4
    UNION ALL
    SELECT time, used_samples, used_sum, shed_samples, shed_sum, event_id, requested_reduction_kw
    FROM telemetry_minutes AS minutes
    WHERE ven_id = $1 AND time >= $4 AND time < $5
        AND NOT EXISTS (SELECT FROM rollup_late AS late WHERE late.ven_id = $1 AND late.time = minutes.time)
    UNION ALL
    SELECT r.time, r.used_samples, r.used_sum, r.shed_samples, r.shed_sum, r.event_id, r.requested_reduction_kw
    FROM rollup_late AS late JOIN reading_sums AS r
        ON r.ven_id = $1 AND r.time >= late.time AND r.time < late.time + interval '1 minute'
    WHERE late.ven_id = $1 AND late.time >= $4 AND late.time < $5 AND r.time >= $4 AND r.time < $5
    UNION ALL
    SELECT time, used_samples, used_sum, shed_samples, shed_sum, event_id, requested_reduction_kw
    FROM reading_sums
    WHERE ven_id = $1 AND time >= $5 AND time < $6
) AS parts
GROUP BY timestamp
HAVING sum(used_samples) + sum(shed_samples) > 0
ORDER BY timestamp
"""


async def fetch_ven_history(
    pool: Pool, ven_id: str, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of a VEN in [start, end)."""
    width = WIDTHS[granularity]
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        first, last = end, end
        if width >= MINUTE:
            first, last = whole_buckets(start, end, await fetch_rolled_up_to(connection), MINUTE)
        return await connection.fetch(HISTORY, ven_id, width, start, first, last, end)
