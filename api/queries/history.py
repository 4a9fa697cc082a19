"""Time series of a VEN, of one of its loads, and of the network.

Of whole minutes that are rolled up the rollups are read, of the rest the readings: the edges of the interval, the last
minute or two, and minutes that got a reading since. So the figures are those of the readings.
"""

from datetime import datetime, timedelta

import asyncpg

from runtime.database import Pool
from schemas.tables.buckets import HOUR, MINUTE, WIDTHS, Granularity, ceil_to, floor_to

PROGRESS = "SELECT rolled_up_to FROM rollup_progress"

# Less than a microwatt adds nothing, as in the rollups.
_READING = """
    time, (used_power_kw IS NOT NULL)::int AS used_samples,
    CASE WHEN abs(used_power_kw) >= 1e-9 THEN used_power_kw ELSE 0 END AS used_sum,
    (shed_power_kw IS NOT NULL)::int AS shed_samples,
    CASE WHEN abs(shed_power_kw) >= 1e-9 THEN shed_power_kw ELSE 0 END AS shed_sum,
    event_id, requested_reduction_kw
"""
_ROLLUP = "time, used_samples, used_sum, shed_samples, shed_sum, event_id, requested_reduction_kw"
_BUCKET = """
    sum(used_sum) / NULLIF(sum(used_samples), 0) AS used_power_kw,
    sum(shed_sum) / NULLIF(sum(shed_samples), 0) AS shed_power_kw
"""

# $1 VEN, $2 width; readings in [$3, $4) and [$5, $6), rollups in [$4, $5).
VEN = f"""
SELECT date_bin($2::interval, time, 'epoch') AS timestamp, {_BUCKET},
       (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
       (array_agg(requested_reduction_kw ORDER BY time DESC)
           FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw
FROM (
    SELECT {_READING} FROM telemetry_readings WHERE ven_id = $1 AND time >= $3 AND time < $4
    UNION ALL
    SELECT {_ROLLUP} FROM telemetry_minutes AS minutes
    WHERE ven_id = $1 AND time >= $4 AND time < $5
        AND NOT EXISTS (SELECT FROM rollup_late AS late WHERE late.ven_id = $1 AND late.time = minutes.time)
    UNION ALL
    SELECT {_READING.replace("time,", "readings.time,", 1)}
    FROM rollup_late AS late JOIN telemetry_readings AS readings
        ON readings.ven_id = $1 AND readings.time >= late.time AND readings.time < late.time + interval '1 minute'
    WHERE late.ven_id = $1 AND late.time >= $4 AND late.time < $5
        AND readings.time >= $4 AND readings.time < $5
    UNION ALL
    SELECT {_READING} FROM telemetry_readings WHERE ven_id = $1 AND time >= $5 AND time < $6
) AS parts
GROUP BY timestamp
HAVING sum(used_samples) + sum(shed_samples) > 0
ORDER BY timestamp
"""  # noqa: S608 - our own text

# A reading wins over a snapshot of the same second. Its time is bounded twice: only a comparison with what is given
# keeps partitions out, and without it every day of the VEN would be read.
_LISTED = """
    SELECT time, load_id, name, type, capacity_kw, current_power_kw, shed_capability_kw, enabled, priority
    FROM telemetry_loads
    WHERE ven_id = $1 AND time >= $2 AND time < $3 AND ($4::text IS NULL OR load_id = $4)
    UNION ALL
    SELECT time, load_id, name, type, capacity_kw, current_power_kw, shed_capability_kw, enabled, priority
    FROM load_snapshots AS snapshots
    WHERE ven_id = $1 AND time >= $2 AND time < $3 AND ($4::text IS NULL OR load_id = $4)
        AND NOT EXISTS (
            SELECT FROM telemetry_loads AS loads
            WHERE loads.ven_id = $1 AND loads.load_id = snapshots.load_id
                AND loads.time >= date_trunc('second', snapshots.time)
                AND loads.time < date_trunc('second', snapshots.time) + interval '1 second'
                AND loads.time >= date_trunc('second', $2::timestamptz)
                AND loads.time < $3::timestamptz + interval '1 second'
        )
"""
LOAD = f"""
SELECT date_bin($5::interval, time, 'epoch') AS timestamp,
       avg(current_power_kw) AS used_power_kw, avg(shed_capability_kw) AS shed_power_kw
FROM ({_LISTED}) AS listed
GROUP BY timestamp
HAVING count(current_power_kw) + count(shed_capability_kw) > 0
ORDER BY timestamp
"""  # noqa: S608 - our own text
COUNT_LISTED = f"SELECT count(*) FROM ({_LISTED}) AS listed"  # noqa: S608 - our own text
NEWEST_LISTED = f"SELECT * FROM ({_LISTED}) AS listed ORDER BY time DESC, load_id DESC LIMIT $5"  # noqa: S608 - our own text

NETWORK_CLOSED = """
SELECT time AS timestamp, used_power_kw, shed_power_kw
FROM network_buckets
WHERE granularity = $1 AND time >= $2 AND time < $3 AND COALESCE(used_power_kw, shed_power_kw) IS NOT NULL
ORDER BY time
"""

NETWORK_POWER = """
SELECT COALESCE(sum(used_power_kw), 0) FROM network_buckets WHERE granularity = $1 AND time >= $2 AND time < $3
"""

# $1 width; readings in [$2, $3) and [$6, $7), minutes in [$3, $4) and [$5, $6), hours in [$4, $5).
NETWORK_OPEN = f"""
SELECT timestamp, sum(used_power_kw) AS used_power_kw, sum(shed_power_kw) AS shed_power_kw
FROM (
    SELECT ven_id, date_bin($1::interval, time, 'epoch') AS timestamp, {_BUCKET}
    FROM (
        SELECT ven_id, {_READING} FROM telemetry_readings WHERE time >= $2 AND time < $3
        UNION ALL
        SELECT ven_id, {_ROLLUP} FROM telemetry_minutes WHERE time >= $3 AND time < $4
        UNION ALL
        SELECT ven_id, {_ROLLUP} FROM telemetry_hours WHERE time >= $4 AND time < $5
        UNION ALL
        SELECT ven_id, {_ROLLUP} FROM telemetry_minutes WHERE time >= $5 AND time < $6
        UNION ALL
        SELECT ven_id, {_READING} FROM telemetry_readings WHERE time >= $6 AND time < $7
    ) AS parts
    GROUP BY ven_id, timestamp
) AS vens
GROUP BY timestamp
HAVING count(used_power_kw) + count(shed_power_kw) > 0
ORDER BY timestamp
"""  # noqa: S608 - our own text


async def fetch_ven_history(
    pool: Pool, ven_id: str, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of a VEN in [start, end)."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rolled_up_to = await connection.fetchval(PROGRESS)
        first, last = end, end
        if WIDTHS[granularity] >= MINUTE:
            first, last = _within(start, end, rolled_up_to, MINUTE)
        return await connection.fetch(VEN, ven_id, WIDTHS[granularity], start, first, last, end)


async def fetch_load_history(
    pool: Pool, ven_id: str, load_id: str, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of a load in [start, end)."""
    return await pool.fetch(LOAD, ven_id, start, end, load_id, WIDTHS[granularity])


async def fetch_listed_loads(
    pool: Pool, ven_id: str, load_id: str | None, start: datetime, end: datetime, limit: int
) -> tuple[int, list[asyncpg.Record]]:
    """Return how many rows a VEN's loads (or one of them) have in [start, end), and the newest, oldest first."""
    interval = (ven_id, start, end, load_id)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        total = await connection.fetchval(COUNT_LISTED, *interval)
        rows = await connection.fetch(NEWEST_LISTED, *interval, limit)
    return int(total), rows[::-1]


async def fetch_network_history(
    pool: Pool, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of the network in [start, end): closed ones as they were rolled up, the others made now."""
    points, last = await fetch_closed_network(pool, start, end, granularity)
    return points + await fetch_open_network(pool, last, end, granularity)


async def fetch_energy(pool: Pool, start: datetime, end: datetime) -> tuple[datetime, float]:
    """Return up to when the buckets of 5 minutes from `start` on are closed, and the kWh that they come to."""
    width = WIDTHS["5m"]
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        closed_to = min(floor_to(await connection.fetchval(PROGRESS), width), end)
        power = await connection.fetchval(NETWORK_POWER, "5m", start, closed_to)
    return max(start, closed_to), power * width.total_seconds() / HOUR.total_seconds()


async def fetch_closed_network(
    pool: Pool, start: datetime, end: datetime, granularity: Granularity
) -> tuple[list[asyncpg.Record], datetime]:
    """Return the buckets of the network that are rolled up, the first maybe in part, and where they end."""
    width = WIDTHS[granularity]
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rolled_up_to = await connection.fetchval(PROGRESS)
        first, last = _within(start, end, rolled_up_to, width)
        if first == last:
            return [], start
        points = await connection.fetch(NETWORK_CLOSED, granularity, first, last)
        if start == first:
            return points, last
        head = await connection.fetch(NETWORK_OPEN, width, *_pieces(start, first, rolled_up_to, width))
    return head + points, last


async def fetch_open_network(
    pool: Pool, start: datetime, end: datetime, granularity: Granularity
) -> list[asyncpg.Record]:
    """Return the buckets of the network in [start, end), made now of what is finer."""
    width = WIDTHS[granularity]
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rolled_up_to = await connection.fetchval(PROGRESS)
        return await connection.fetch(NETWORK_OPEN, width, *_pieces(start, end, rolled_up_to, width))


def _within(start: datetime, end: datetime, rolled_up_to: datetime, width: timedelta) -> tuple[datetime, datetime]:
    """The whole buckets of an interval that are rolled up, as [first, last); both are `end` where there are none."""
    first, last = ceil_to(start, width), floor_to(min(end, rolled_up_to), width)
    return (first, last) if first < last else (end, end)


def _pieces(start: datetime, end: datetime, rolled_up_to: datetime, width: timedelta) -> tuple[datetime, ...]:
    """Where to change from readings to minutes, hours, minutes and readings, on the way from `start` to `end`."""
    if width < MINUTE or start == end:
        return (start, end, end, end, end, end)
    minutes = _within(start, end, rolled_up_to, MINUTE)
    hours = _within(*minutes, rolled_up_to, HOUR) if width >= HOUR else (minutes[1], minutes[1])
    return (start, minutes[0], *hours, minutes[1], end)
