"""Rollups: each VEN by minute and by hour, and the network by bucket of every granularity.

They come of closed minutes, one statement for all VENs, instead of being added to with every batch. What comes later
for a minute that is closed is noted in the transaction that stores it, and the minute is computed again. So rollups are
what the readings say by construction, whatever comes late or twice, and a crash repeats work and spoils nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from runtime.database import Connection
from schemas.records.telemetry import Reading
from schemas.tables.buckets import HOUR, MINUTE, WIDTHS, Granularity, floor_to

_SUMS = """
    samples, used_samples, used_sum, used_min, used_max, shed_samples, shed_sum, shed_min, shed_max,
    event_id, requested_reduction_kw
"""
_COLUMNS = [name.strip() for name in _SUMS.split(",")]
_OVERWRITE = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)

# Less than a microwatt adds nothing: the mean of the smallest numbers is none that PostgreSQL has ("underflow").
_OF_READINGS = """
    count(*) AS samples,
    count(used_power_kw) AS used_samples,
    COALESCE(sum(used_power_kw) FILTER (WHERE abs(used_power_kw) >= 1e-9), 0) AS used_sum,
    min(used_power_kw) AS used_min, max(used_power_kw) AS used_max,
    count(shed_power_kw) AS shed_samples,
    COALESCE(sum(shed_power_kw) FILTER (WHERE abs(shed_power_kw) >= 1e-9), 0) AS shed_sum,
    min(shed_power_kw) AS shed_min, max(shed_power_kw) AS shed_max,
    (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
    (array_agg(requested_reduction_kw ORDER BY time DESC)
        FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw
"""
_OF_MINUTES = """
    sum(samples) AS samples,
    sum(used_samples) AS used_samples, sum(used_sum) AS used_sum, min(used_min) AS used_min, max(used_max) AS used_max,
    sum(shed_samples) AS shed_samples, sum(shed_sum) AS shed_sum, min(shed_min) AS shed_min, max(shed_max) AS shed_max,
    (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
    (array_agg(requested_reduction_kw ORDER BY time DESC)
        FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw
"""

# The lock holds back the next step of `late_before` until this transaction has ended. Rolling up, which for a large
# fleet takes seconds, neither waits for it nor holds it up.
LATE_BEFORE = "SELECT late_before FROM rollup_progress FOR KEY SHARE"

# An update even where the row is there, so that whoever takes rows to work on leaves it while this transaction lasts.
NOTE_LATE = """
INSERT INTO rollup_late (ven_id, time)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (ven_id, time) DO UPDATE SET noted_at = now()
"""

# Whoever moves `late_before` takes this strongest of locks first: the update by itself would not wait for batches.
CLOSING = "SELECT FROM rollup_progress WHERE late_before < $1 FOR UPDATE"
CLOSE = "UPDATE rollup_progress SET late_before = $1 WHERE late_before < $1"
PROGRESS = "SELECT late_before, rolled_up_to FROM rollup_progress FOR NO KEY UPDATE"
ROLLED_UP = "UPDATE rollup_progress SET rolled_up_to = $1"


class _More(NamedTuple):
    """One column more than the sums, as it follows others in each part of a statement."""

    column: str = ""
    value: str = ""
    overwrite: str = ""


_NOTHING_MORE = _More()
# Every computation of a minute has a higher one than those before.
_VERSION = _More(", version", ", nextval('telemetry_minute_versions')", ", version = excluded.version")


def _roll(table: str, source: str, of: str, width: str, more: _More = _NOTHING_MORE) -> str:
    return f"""
        INSERT INTO {table} (ven_id, time, {_SUMS}{more.column})
        SELECT ven_id, date_bin('{width}', time, 'epoch') AS begun, {of}{more.value}
        FROM {source} WHERE time >= $1 AND time < $2
        GROUP BY ven_id, begun
        ORDER BY begun
        ON CONFLICT (ven_id, time) DO UPDATE SET {_OVERWRITE}{more.overwrite}
    """  # noqa: S608 - names of our own tables


def _roll_again(table: str, source: str, of: str, width: str, more: _More = _NOTHING_MORE) -> str:
    return f"""
        INSERT INTO {table} (ven_id, time, {_SUMS}{more.column})
        SELECT late.ven_id, late.begun, again.*
        FROM unnest($1::text[], $2::timestamptz[]) AS late(ven_id, begun)
        CROSS JOIN LATERAL (
            SELECT {of}{more.value} FROM {source}
            WHERE ven_id = late.ven_id AND time >= late.begun AND time < late.begun + interval '{width}'
        ) AS again
        WHERE again.samples > 0
        ON CONFLICT (ven_id, time) DO UPDATE SET {_OVERWRITE}{more.overwrite}
    """  # noqa: S608 - names of our own tables


ROLL_MINUTES = _roll("telemetry_minutes", "telemetry_readings", _OF_READINGS, "1 minute", _VERSION)
ROLL_HOURS = _roll("telemetry_hours", "telemetry_minutes", _OF_MINUTES, "1 hour")
ROLL_MINUTES_AGAIN = _roll_again("telemetry_minutes", "telemetry_readings", _OF_READINGS, "1 minute", _VERSION)
ROLL_HOURS_AGAIN = _roll_again("telemetry_hours", "telemetry_minutes", _OF_MINUTES, "1 hour")

# What a batch or a removal has in hand is left to the next look: who never waits takes nothing crosswise.
TAKE_LATE = """
DELETE FROM rollup_late
WHERE (ven_id, time) IN (
    SELECT ven_id, time FROM rollup_late WHERE time < $1 ORDER BY noted_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING ven_id, time
"""


def _network(of_a_ven: str) -> str:
    """For a bucket: the sum over VENs of their means."""
    return f"""
        INSERT INTO network_buckets (granularity, time, used_power_kw, shed_power_kw, vens)
        SELECT $1, begun, sum(used), sum(shed), count(*)
        FROM ({of_a_ven}) AS vens GROUP BY begun
        ON CONFLICT (granularity, time) DO UPDATE SET
            used_power_kw = excluded.used_power_kw, shed_power_kw = excluded.shed_power_kw, vens = excluded.vens
    """  # noqa: S608 - our own text


_MEAN_OF_READINGS = """
    SELECT ven_id, date_bin($4::interval, time, 'epoch') AS begun,
           avg(used_power_kw) AS used, avg(shed_power_kw) AS shed
    FROM telemetry_readings WHERE time >= $2 AND time < $3 GROUP BY ven_id, begun
"""
_MEAN_OF_ROLLUPS = """
    SELECT ven_id, date_bin($4::interval, time, 'epoch') AS begun,
           sum(used_sum) / NULLIF(sum(used_samples), 0) AS used, sum(shed_sum) / NULLIF(sum(shed_samples), 0) AS shed
    FROM {table} WHERE time >= $2 AND time < $3 GROUP BY ven_id, begun
"""
NETWORK: dict[Granularity, str] = {
    "30s": _network(_MEAN_OF_READINGS),
    "5m": _network(_MEAN_OF_ROLLUPS.format(table="telemetry_minutes")),
    "1h": _network(_MEAN_OF_ROLLUPS.format(table="telemetry_hours")),
    "1d": _network(_MEAN_OF_ROLLUPS.format(table="telemetry_hours")),
}

NOTE_CORRECTED = """
INSERT INTO minutes_corrected (ven_id, time)
SELECT * FROM unnest($1::text[], $2::timestamptz[]) ON CONFLICT DO NOTHING
"""
NOTE_STALE = """
INSERT INTO network_stale (granularity, time)
SELECT $1, begun FROM unnest($2::timestamptz[]) AS begun ON CONFLICT DO NOTHING
"""
TAKE_STALE = """
DELETE FROM network_stale
WHERE (granularity, time) IN (SELECT granularity, time FROM network_stale ORDER BY time DESC LIMIT $1)
RETURNING granularity, time
"""


async def note_late(connection: Connection, readings: Sequence[Reading]) -> None:
    """Note the minutes that are closed already and have got a reading, in the transaction that stores it."""
    late_before = await connection.fetchval(LATE_BEFORE)
    minutes = sorted(
        {
            (reading.ven_id, floor_to(reading.timestamp, MINUTE))
            for reading in readings
            if reading.timestamp < late_before
        }
    )
    if minutes:
        await connection.execute(NOTE_LATE, [ven_id for ven_id, _ in minutes], [minute for _, minute in minutes])


async def rolled_up_to(connection: Connection) -> datetime:
    """Return how far the minutes are rolled up."""
    moment: datetime = await connection.fetchval("SELECT rolled_up_to FROM rollup_progress")
    return moment


async def close(connection: Connection, before: datetime) -> None:
    """Close the minutes before a time: from now on the sink notes what comes for them."""
    await connection.execute(CLOSING, before)
    await connection.execute(CLOSE, before)


async def roll_up(connection: Connection, most: timedelta) -> bool:
    """Roll up the minutes that were closed, a stretch of bounded length; returns whether there are more."""
    progress = await connection.fetchrow(PROGRESS)
    if progress is None or progress["rolled_up_to"] >= progress["late_before"]:
        return False
    begin = progress["rolled_up_to"]
    end = min(progress["late_before"], begin + most)
    await connection.execute(ROLL_MINUTES, begin, end)
    if floor_to(begin, HOUR) < floor_to(end, HOUR):
        await connection.execute(ROLL_HOURS, floor_to(begin, HOUR), floor_to(end, HOUR))
    for granularity, width in WIDTHS.items():
        first, last = floor_to(begin, width), floor_to(end, width)
        if first < last:
            await connection.execute(NETWORK[granularity], granularity, first, last, width)
    await connection.execute(ROLLED_UP, end)
    return bool(end < progress["late_before"])


async def roll_up_again(connection: Connection, most: int) -> int:
    """Compute minutes again that got a reading after they were closed; returns how many."""
    progress = await connection.fetchrow(PROGRESS)
    if progress is None:
        return 0
    end = progress["rolled_up_to"]
    late = await connection.fetch(TAKE_LATE, end, most)
    if not late:
        return 0
    minutes = [row["ven_id"] for row in late], [row["time"] for row in late]
    await connection.execute(ROLL_MINUTES_AGAIN, *minutes)
    await connection.execute(NOTE_CORRECTED, *minutes)
    hours = {(row["ven_id"], floor_to(row["time"], HOUR)) for row in late}
    closed = sorted((ven_id, hour) for ven_id, hour in hours if hour + HOUR <= end)
    await connection.execute(ROLL_HOURS_AGAIN, [ven_id for ven_id, _ in closed], [hour for _, hour in closed])
    for granularity, width in WIDTHS.items():
        await connection.execute(NOTE_STALE, granularity, _buckets((row["time"] for row in late), width, end))
    return len(late)


async def refresh_network(connection: Connection, most: int) -> int:
    """Compute buckets of the network again, the newest first; returns how many."""
    stale = await connection.fetch(TAKE_STALE, most)
    for row in stale:
        width = WIDTHS[row["granularity"]]
        await connection.execute(
            NETWORK[row["granularity"]], row["granularity"], row["time"], row["time"] + width, width
        )
    return len(stale)


def _buckets(minutes: Iterable[datetime], width: timedelta, end: datetime) -> list[datetime]:
    """The closed buckets that hold any of these minutes; a minute holds two of 30 s."""
    begun = {floor_to(minute + offset, width) for minute in minutes for offset in (timedelta(0), MINUTE / 2)}
    return sorted(bucket for bucket in begun if bucket + width <= end)
