"""The history of the network: sums over VENs of their mean power in each bucket.

Closed buckets are stored; open ones, and the part of a bucket at the start of a range, are computed from hours, minutes
and readings.
"""

from datetime import datetime, timedelta

import asyncpg

from api.queries.rolled_up import fetch_rolled_up_to, whole_buckets
from runtime.database import Pool
from schemas.tables.buckets import HOUR, MINUTE, WIDTHS, Granularity

CLOSED = """
SELECT time AS timestamp, used_power_kw, shed_power_kw
FROM network_buckets
WHERE granularity = $1 AND time >= $2 AND time < $3 AND COALESCE(used_power_kw, shed_power_kw) IS NOT NULL
ORDER BY time
"""

# $1 width; readings in [$2, $3) and [$6, $7), minutes in [$3, $4) and [$5, $6), hours in [$4, $5).
OPEN = """
SELECT timestamp, sum(used_power_kw) AS used_power_kw, sum(shed_power_kw) AS shed_power_kw
FROM (
    SELECT ven_id, date_bin($1::interval, time, 'epoch') AS timestamp,
           sum(used_sum) / NULLIF(sum(used_samples), 0) AS used_power_kw,
           sum(shed_sum) / NULLIF(sum(shed_samples), 0) AS shed_power_kw
    FROM (
        SELECT ven_id, time, used_samples, used_sum, shed_samples, shed_sum FROM reading_sums
        WHERE time >= $2 AND time < $3
        UNION ALL
        SELECT ven_id, time, used_samples, used_sum, shed_samples, shed_sum FROM telemetry_minutes
        WHERE time >= $3 AND time < $4
        UNION ALL
        SELECT ven_id, time, used_samples, used_sum, shed_samples, shed_sum FROM telemetry_hours
        WHERE time >= $4 AND time < $5
        UNION ALL
        SELECT ven_id, time, used_samples, used_sum, shed_samples, shed_sum FROM telemetry_minutes
        WHERE time >= $5 AND time < $6
        UNION ALL
        SELECT ven_id, time, used_samples, used_sum, shed_samples, shed_sum FROM reading_sums
        WHERE time >= $6 AND time < $7
    ) AS parts
    GROUP BY ven_id, timestamp
) AS vens
GROUP BY timestamp
HAVING count(used_power_kw) + count(shed_power_kw) > 0
ORDER BY timestamp
"""


async def fetch_network_history(
    pool: Pool, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of the network in [start, end)."""
    points, closed_to = await fetch_closed_network(pool, start, end, granularity)
    return points + await fetch_open_network(pool, closed_to, end, granularity)


async def fetch_closed_network(
    pool: Pool, start: datetime, end: datetime, granularity: Granularity
) -> tuple[list[asyncpg.Record], datetime]:
    """Return the closed buckets from `start` on, the first one perhaps in part, and the time where they end."""
    width = WIDTHS[granularity]
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rolled_up_to = await fetch_rolled_up_to(connection)
        first, last = whole_buckets(start, end, rolled_up_to, width)
        if first == last:
            return [], start
        points = await connection.fetch(CLOSED, granularity, first, last)
        if start == first:
            return points, last
        head = await connection.fetch(OPEN, width, *_sources(start, first, rolled_up_to, width))
    return head + points, last


async def fetch_open_network(
    pool: Pool, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Compute the buckets of the network in [start, end)."""
    width = WIDTHS[granularity]
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rolled_up_to = await fetch_rolled_up_to(connection)
        return await connection.fetch(OPEN, width, *_sources(start, end, rolled_up_to, width))


def _sources(start: datetime, end: datetime, rolled_up_to: datetime, width: timedelta) -> tuple[datetime, ...]:
    """Return the bounds of readings, minutes, hours, minutes and readings, in this order, on the way to `end`."""
    if width < MINUTE or start == end:
        return (start, end, end, end, end, end)
    minutes = whole_buckets(start, end, rolled_up_to, MINUTE)
    hours = whole_buckets(*minutes, rolled_up_to, HOUR) if width >= HOUR else (minutes[1], minutes[1])
    return (start, minutes[0], *hours, minutes[1], end)
