"""Rolls up closed minutes: each VEN by minute and hour, and the network by bucket of every granularity.

Rollups are computed from the readings of closed minutes, one statement for all VENs. A reading that arrives later marks
its minute as late in its own transaction, and the minute is recomputed. So rollups always equal what the readings add
up to, whatever arrives late or twice, and a crash only repeats work.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from runtime.database import Connection
from schemas.tables.buckets import HOUR, MINUTE, WIDTHS, floor_to
from streams.rollups.statements import (
    COMPUTE_NETWORK,
    RECOMPUTE_HOURS,
    RECOMPUTE_MINUTES,
    ROLL_UP_HOURS,
    ROLL_UP_MINUTES,
)

# FOR UPDATE waits for batches that read `late_before`; the UPDATE alone would not.
LOCK_PROGRESS = "SELECT FROM rollup_progress WHERE late_before < $1 FOR UPDATE"
CLOSE = "UPDATE rollup_progress SET late_before = $1 WHERE late_before < $1"
PROGRESS = "SELECT late_before, rolled_up_to FROM rollup_progress FOR NO KEY UPDATE"
ROLLED_UP = "UPDATE rollup_progress SET rolled_up_to = $1"

# Rows that another transaction holds are left for the next run, so that no deadlock is possible.
TAKE_LATE = """
DELETE FROM rollup_late
WHERE (ven_id, time) IN (
    SELECT ven_id, time FROM rollup_late WHERE time < $1 ORDER BY noted_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING ven_id, time
"""

MARK_CORRECTED = """
INSERT INTO minutes_corrected (ven_id, time)
SELECT * FROM unnest($1::text[], $2::timestamptz[]) ON CONFLICT DO NOTHING
"""
MARK_STALE = """
INSERT INTO network_stale (granularity, time)
SELECT $1, bucket FROM unnest($2::timestamptz[]) AS bucket ON CONFLICT DO NOTHING
"""
TAKE_STALE = """
DELETE FROM network_stale
WHERE (granularity, time) IN (SELECT granularity, time FROM network_stale ORDER BY time DESC LIMIT $1)
RETURNING granularity, time
"""


async def rolled_up_to(connection: Connection) -> datetime:
    """Return the time up to which minutes are rolled up."""
    moment: datetime = await connection.fetchval("SELECT rolled_up_to FROM rollup_progress")
    return moment


async def close_minutes(connection: Connection, before: datetime) -> None:
    """Close the minutes before a time: from now on the sink marks them as late when it stores a reading."""
    await connection.execute(LOCK_PROGRESS, before)
    await connection.execute(CLOSE, before)


async def roll_up(connection: Connection, max_interval: timedelta) -> bool:
    """Roll up the next closed minutes, at most `max_interval` of them; return whether more are due."""
    progress = await connection.fetchrow(PROGRESS)
    if progress is None or progress["rolled_up_to"] >= progress["late_before"]:
        return False
    begin = progress["rolled_up_to"]
    end = min(progress["late_before"], begin + max_interval)
    await connection.execute(ROLL_UP_MINUTES, begin, end)
    if floor_to(begin, HOUR) < floor_to(end, HOUR):
        await connection.execute(ROLL_UP_HOURS, floor_to(begin, HOUR), floor_to(end, HOUR))
    for granularity, width in WIDTHS.items():
        first, last = floor_to(begin, width), floor_to(end, width)
        if first < last:
            await connection.execute(COMPUTE_NETWORK[granularity], granularity, first, last, width)
    await connection.execute(ROLLED_UP, end)
    return bool(end < progress["late_before"])


async def recompute_late(connection: Connection, limit: int) -> int:
    """Recompute up to `limit` late minutes; return how many."""
    progress = await connection.fetchrow(PROGRESS)
    if progress is None:
        return 0
    end = progress["rolled_up_to"]
    late = await connection.fetch(TAKE_LATE, end, limit)
    if not late:
        return 0
    minutes = [row["ven_id"] for row in late], [row["time"] for row in late]
    await connection.execute(RECOMPUTE_MINUTES, *minutes)
    await connection.execute(MARK_CORRECTED, *minutes)
    hours = {(row["ven_id"], floor_to(row["time"], HOUR)) for row in late}
    closed = sorted((ven_id, hour) for ven_id, hour in hours if hour + HOUR <= end)
    await connection.execute(RECOMPUTE_HOURS, [ven_id for ven_id, _ in closed], [hour for _, hour in closed])
    for granularity, width in WIDTHS.items():
        await connection.execute(MARK_STALE, granularity, _closed_buckets((row["time"] for row in late), width, end))
    return len(late)


async def refresh_network(connection: Connection, limit: int) -> int:
    """Recompute up to `limit` stale buckets of the network, the newest first; return how many."""
    stale = await connection.fetch(TAKE_STALE, limit)
    for row in stale:
        granularity, bucket = row["granularity"], row["time"]
        width = WIDTHS[granularity]
        await connection.execute(COMPUTE_NETWORK[granularity], granularity, bucket, bucket + width, width)
    return len(stale)


def _closed_buckets(minutes: Iterable[datetime], width: timedelta, end: datetime) -> list[datetime]:
    """Return the buckets before `end` that overlap these minutes; a minute overlaps two buckets of 30 s."""
    buckets = {floor_to(minute + offset, width) for minute in minutes for offset in (timedelta(0), MINUTE / 2)}
    return sorted(bucket for bucket in buckets if bucket + width <= end)
