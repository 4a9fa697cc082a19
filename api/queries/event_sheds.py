"""What VENs shed for an event: now, and over its time."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from runtime.database import Pool
from schemas.reduction import mean_power

SHED_NOW = "SELECT ven_id, COALESCE(shed_power_kw, 0) AS kw FROM ven_status WHERE event_id = $1"

REDUCTIONS_NOW = """
SELECT event_id, sum(COALESCE(shed_power_kw, 0)) AS kw FROM ven_status WHERE event_id = ANY ($1) GROUP BY event_id
"""

REPORTED = """
SELECT ven_id, bool_or(shed_power_kw > 0) AS shed
FROM telemetry_readings WHERE event_id = $1 AND time >= $2 AND time < $3
GROUP BY ven_id ORDER BY ven_id
"""

# A VEN that speaks of another event, or of none, sheds nothing for this one.
SAMPLES = """
SELECT ven_id, time, CASE WHEN event_id = $1 THEN shed_power_kw ELSE 0 END AS kw
FROM telemetry_readings
WHERE ven_id = ANY ($2) AND time >= $3 AND time < $4
    AND (event_id IS DISTINCT FROM $1 OR shed_power_kw IS NOT NULL)
ORDER BY ven_id, time
"""

NAMES = """
SELECT ven_id, COALESCE(name, ven_id) AS name
FROM (SELECT unnest($2::text[]) AS ven_id UNION SELECT ven_id FROM commands WHERE event_id = $1) AS mine
     LEFT JOIN vens USING (ven_id)
ORDER BY ven_id
"""

_VENS_AT_ONCE = 20
"""So that a large event neither fills the memory nor keeps other requests waiting."""


async def sheds_now(pool: Pool, event_id: str) -> dict[str, float]:
    """Return what each VEN that reports an event sheds now, in kW."""
    return {row["ven_id"]: row["kw"] for row in await pool.fetch(SHED_NOW, event_id)}


async def reductions_now(pool: Pool, event_ids: Sequence[str]) -> dict[str, float]:
    """Return what is shed now for each of these events, in kW; events that nobody reports are left out."""
    return {row["event_id"]: row["kw"] for row in await pool.fetch(REDUCTIONS_NOW, event_ids)}


async def vens_that_shed(pool: Pool, event_id: str, start: datetime, end: datetime) -> dict[str, bool]:
    """Return the VENs that reported an event in [start, end), and whether they shed anything."""
    return {row["ven_id"]: bool(row["shed"]) for row in await pool.fetch(REPORTED, event_id, start, end)}


async def mean_sheds(
    pool: Pool, event_id: str, ven_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, float]:
    """Return what each VEN shed for an event on average over [start, end), in kW."""
    means: dict[str, float] = {}
    for first in range(0, len(ven_ids), _VENS_AT_ONCE):
        some = ven_ids[first : first + _VENS_AT_ONCE]
        rows = await pool.fetch(SAMPLES, event_id, some, start, end)
        for ven_id, samples in groupby(rows, key=lambda row: str(row["ven_id"])):
            means[ven_id] = mean_power(((row["time"], row["kw"]) for row in samples), start, end)
    return means


async def names_of_vens(pool: Pool, event_id: str, ven_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of these VENs and of those that were sent a command of the event; a deleted one's is its id."""
    return {row["ven_id"]: row["name"] for row in await pool.fetch(NAMES, event_id, ven_ids)}
