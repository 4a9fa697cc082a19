"""Rolls up closed minutes: each VEN by minute and hour, and the network by bucket of every granularity.

Rollups are computed from the readings of closed minutes, one statement for all VENs. A reading that arrives later marks
its minute as late in its own transaction, and the minute is recomputed, with the following minutes in which its power
holds. So rollups always equal what the readings add up to, whatever arrives late or twice, and a crash only repeats
work.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from runtime.database import Connection
from schemas.tables.buckets import HOUR, MINUTE, WIDTHS, floor_to, starts
from schemas.tables.partitioning import day_of
from streams.rollups.statements import COMPUTE_HOUR, COMPUTE_MINUTE, COMPUTE_NETWORK

# FOR UPDATE waits for batches that read `late_before`; the UPDATE alone would not.
LOCK_PROGRESS = "SELECT FROM rollup_progress WHERE late_before < $1 FOR UPDATE"
CLOSE = "UPDATE rollup_progress SET late_before = $1 WHERE late_before < $1"
# The same statements compute all VENs and single ones, for which PostgreSQL needs different plans.
PLAN_EACH = "SET LOCAL plan_cache_mode = force_custom_plan"
PROGRESS = "SELECT late_before, rolled_up_to FROM rollup_progress FOR NO KEY UPDATE"
ROLLED_UP = "UPDATE rollup_progress SET rolled_up_to = $1"

LATE_DAYS = """
SELECT DISTINCT date_trunc('day', time, 'UTC') AS day FROM rollup_late
WHERE time < (SELECT rolled_up_to FROM rollup_progress)
"""
# Rows that another transaction holds are left for the next run, so that no deadlock is possible.
TAKE_LATE = """
DELETE FROM rollup_late
WHERE (ven_id, time) IN (
    SELECT ven_id, time FROM rollup_late WHERE time < $1 AND date_trunc('day', time, 'UTC') = ANY($2)
    ORDER BY noted_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING ven_id, time
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
CLEAR_BUCKET = "DELETE FROM network_buckets WHERE granularity = $1 AND time = $2"

ADD_ENERGY = """
INSERT INTO energy_days AS e (day, used_kwh) VALUES ($1, $2)
ON CONFLICT (day) DO UPDATE SET used_kwh = e.used_kwh + excluded.used_kwh
"""


async def rolled_up_to(connection: Connection) -> datetime:
    """Return the time up to which minutes are rolled up."""
    moment: datetime = await connection.fetchval("SELECT rolled_up_to FROM rollup_progress")
    return moment


async def close_minutes(connection: Connection, before: datetime) -> None:
    """Close the minutes before a time: from now on the sink marks them as late when it stores a reading."""
    await connection.execute(LOCK_PROGRESS, before)
    await connection.execute(CLOSE, before)


async def roll_up(connection: Connection, hold_seconds: float, max_interval: timedelta) -> bool:
    """Roll up the next closed minutes, at most `max_interval` of them; return whether more are due.

    A power holds for `hold_seconds` if no newer one follows, or longer by the report interval of its VEN.
    """
    await connection.execute(PLAN_EACH)
    progress = await connection.fetchrow(PROGRESS)
    if progress is None or progress["rolled_up_to"] >= progress["late_before"]:
        return False
    begin = progress["rolled_up_to"]
    end = min(progress["late_before"], begin + max_interval)
    energy: dict[date, float] = defaultdict(float)
    for minute in starts(begin, end, MINUTE):
        (computed,) = await connection.fetch(COMPUTE_MINUTE, minute, None, hold_seconds)
        energy[day_of(minute)] += computed["used_kwh"]
    await connection.executemany(ADD_ENERGY, list(energy.items()))
    for hour in starts(begin, end, HOUR):
        await connection.execute(COMPUTE_HOUR, hour, None)
    for granularity, width in WIDTHS.items():
        first, last = floor_to(begin, width), floor_to(end, width)
        if first < last:
            await connection.execute(COMPUTE_NETWORK, granularity, first, last, width)
    await connection.execute(ROLLED_UP, end)
    return bool(end < progress["late_before"])


async def late_days(connection: Connection) -> list[datetime]:
    """Return the days (UTC) that have late minutes, by their beginning."""
    return [row["day"] for row in await connection.fetch(LATE_DAYS)]


async def recompute_late(connection: Connection, hold_seconds: float, days: Sequence[datetime], limit: int) -> int:
    """Recompute up to `limit` late minutes of these days, and what depends on them; return how many were late.

    Needs the partitions of these days and of the following ones within the longest hold.
    """
    await connection.execute(PLAN_EACH)
    progress = await connection.fetchrow(PROGRESS)
    if progress is None:
        return 0
    end = progress["rolled_up_to"]
    late = await connection.fetch(TAKE_LATE, end, days, limit)
    if not late:
        return 0
    minutes = await _recompute_minutes(connection, hold_seconds, [(row["time"], row["ven_id"]) for row in late], end)
    hours: dict[datetime, set[str]] = defaultdict(set)
    for minute, ven_ids in minutes.items():
        hours[floor_to(minute, HOUR)] |= ven_ids
    for hour, ven_ids in hours.items():
        if hour + HOUR <= end:
            await connection.execute(COMPUTE_HOUR, hour, sorted(ven_ids))
    for granularity, width in WIDTHS.items():
        buckets = _closed_buckets((row["time"] for row in late), width, end)
        await connection.execute(MARK_STALE, granularity, buckets)
    return len(late)


async def _recompute_minutes(
    connection: Connection, hold_seconds: float, late: Iterable[tuple[datetime, str]], end: datetime
) -> dict[datetime, set[str]]:
    """Recompute minutes in order, each VEN on until the power at the end of a minute is what it was.

    Returns the VENs of each recomputed minute.
    """
    minutes: dict[datetime, set[str]] = defaultdict(set)
    for minute, ven_id in late:
        minutes[minute].add(ven_id)
    energy: dict[date, float] = defaultdict(float)
    due = sorted(minutes)
    while due:
        minute = heapq.heappop(due)
        (computed,) = await connection.fetch(COMPUTE_MINUTE, minute, sorted(minutes[minute]), hold_seconds)
        energy[day_of(minute)] += computed["used_kwh"]
        following = minute + MINUTE
        if computed["changed_at_end"] and following < end:
            if following not in minutes:
                heapq.heappush(due, following)
            minutes[following].update(computed["changed_at_end"])
    await connection.executemany(ADD_ENERGY, list(energy.items()))
    return minutes


async def refresh_network(connection: Connection, limit: int) -> int:
    """Recompute up to `limit` stale buckets of the network, the newest first; return how many."""
    stale = await connection.fetch(TAKE_STALE, limit)
    for row in stale:
        granularity, bucket = row["granularity"], row["time"]
        width = WIDTHS[granularity]
        await connection.execute(CLEAR_BUCKET, granularity, bucket)
        await connection.execute(COMPUTE_NETWORK, granularity, bucket, bucket + width, width)
    return len(stale)


def _closed_buckets(minutes: Iterable[datetime], width: timedelta, end: datetime) -> list[datetime]:
    """Return the buckets before `end` that overlap these minutes; a minute overlaps two buckets of 30 s."""
    buckets = {floor_to(minute + offset, width) for minute in minutes for offset in (timedelta(0), MINUTE / 2)}
    return sorted(bucket for bucket in buckets if bucket + width <= end)
