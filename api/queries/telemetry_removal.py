"""Removes readings and load snapshots of a VEN that were wrong, and has everything derived from them computed again."""

from datetime import datetime, timedelta
from typing import NamedTuple

from runtime.database import PooledConnection
from schemas.tables.buckets import MINUTE, floor_to
from schemas.tables.rollups import LATE_BEFORE, MARK_LATE

_PIECE = timedelta(hours=6)

OLDEST = """
SELECT LEAST(
    (SELECT min(time) FROM telemetry_readings WHERE ven_id = $1 AND time >= $2 AND time < $3),
    (SELECT min(time) FROM load_snapshots WHERE ven_id = $1 AND time >= $2 AND time < $3))
"""
REMOVE_LOADS = "DELETE FROM telemetry_loads WHERE ven_id = $1 AND time >= $2 AND time < $3"
REMOVE_SNAPSHOTS = """
WITH removed AS (DELETE FROM load_snapshots WHERE ven_id = $1 AND time >= $2 AND time < $3 RETURNING time)
SELECT count(DISTINCT time) FROM removed
"""
REMOVE_READINGS = "DELETE FROM telemetry_readings WHERE ven_id = $1 AND time >= $2 AND time < $3 RETURNING time"

# The latest told values of the VEN, if one may have come from what was removed: those of the readings that are left of
# the day before and later, or none.
RESTORE_STATUS = """
WITH recent AS (
    SELECT r.*, corrected_time(r.time, r.clock_skew_seconds) AS at
    FROM telemetry_readings AS r WHERE r.ven_id = $1 AND r.time >= $2::timestamptz - interval '1 day'
)
UPDATE ven_status SET
    (measured_at, sampled_at, clock_skew_seconds) = (
        SELECT time, at, COALESCE(recent.clock_skew_seconds, 0) FROM recent ORDER BY at DESC LIMIT 1),
    (used_power_at, used_power_kw) = (
        SELECT at, recent.used_power_kw FROM recent WHERE recent.used_power_kw IS NOT NULL ORDER BY at DESC LIMIT 1),
    (shed_power_at, shed_power_kw, shed_event_id) = (
        SELECT at, recent.shed_power_kw, recent.event_id FROM recent
        WHERE recent.shed_power_kw IS NOT NULL ORDER BY at DESC LIMIT 1),
    (event_at, event_id, requested_reduction_kw) = (
        SELECT at, recent.event_id, recent.requested_reduction_kw FROM recent
        WHERE recent.shed_power_kw IS NOT NULL OR recent.event_id IS NOT NULL ORDER BY at DESC LIMIT 1),
    (battery_soc_at, battery_soc) = (
        SELECT at, recent.battery_soc FROM recent WHERE recent.battery_soc IS NOT NULL ORDER BY at DESC LIMIT 1)
WHERE ven_id = $1 AND sampled_at - min_clock_skew * interval '1 second' >= $2
    AND LEAST(sampled_at, used_power_at, shed_power_at, event_at, battery_soc_at)
        - max_clock_skew * interval '1 second' < $3
"""
RESTORE_LOADS = """
WITH newest AS (
    SELECT GREATEST((SELECT max(time) FROM telemetry_loads WHERE ven_id = $1),
                    (SELECT max(time) FROM load_snapshots WHERE ven_id = $1)) AS time
)
UPDATE ven_status SET loads_measured_at = newest.time, loads = (
    SELECT json_agg(json_strip_nulls(json_build_object(
        'id', load_id, 'name', name, 'type', type, 'capacityKw', capacity_kw, 'currentPowerKw', current_power_kw,
        'shedCapabilityKw', shed_capability_kw, 'enabled', enabled, 'priority', priority)) ORDER BY load_id)
    FROM listed_loads($1, newest.time, newest.time + interval '1 microsecond', NULL))
FROM newest
WHERE ven_id = $1 AND loads_measured_at >= $2 AND loads_measured_at < $3
"""

# From the first day that lost a reading on: the energy that is shown may fall when its minutes are computed again.
ENERGY_MAY_FALL = "UPDATE energy_days SET corrected_at = now() WHERE day >= $1"

# Events within the longest hold after the readings, and within a day before them, because clocks may be wrong. An event
# too many costs one more settlement.
UNSETTLE = """
UPDATE events SET settled_at = NULL
WHERE settled_at IS NOT NULL AND start_time < $3::timestamptz + interval '3 days'
    AND over_at > $2::timestamptz - interval '1 day'
    AND EXISTS (SELECT FROM event_vens AS v WHERE v.event_id = events.event_id AND v.ven_id = $1)
"""


class Removed(NamedTuple):
    """What was removed of a piece of time, and where the next piece begins; None at the end of the range."""

    readings: int
    snapshots: int
    next_begin: datetime | None


async def remove_piece(connection: PooledConnection, ven_id: str, start: datetime, end: datetime) -> Removed:
    """Remove the readings and load snapshots of the first hours in [start, end) that have any. Needs a transaction.

    A piece is short, because closing the next minute waits for it.
    """
    begin: datetime | None = await connection.fetchval(OLDEST, ven_id, start, end)
    if begin is None:
        return Removed(0, 0, None)
    piece = (ven_id, begin, min(begin + _PIECE, end))
    await connection.execute(REMOVE_LOADS, *piece)
    snapshots = await connection.fetchval(REMOVE_SNAPSHOTS, *piece)
    times = [row["time"] for row in await connection.fetch(REMOVE_READINGS, *piece)]
    # In the order of the sink: readings, status, late minutes. So two transactions do not wait for each other.
    await connection.execute(RESTORE_STATUS, *piece)
    await connection.execute(RESTORE_LOADS, *piece)
    late_before = await connection.fetchval(LATE_BEFORE)
    minutes = sorted({floor_to(time, MINUTE) for time in times if time < late_before})
    await connection.execute(MARK_LATE, [ven_id] * len(minutes), minutes)
    await connection.execute(ENERGY_MAY_FALL, begin.date())
    await connection.execute(UNSETTLE, *piece)
    return Removed(len(times), snapshots, piece[-1])
