"""What VENs shed for events: now, and over the time of an event."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from runtime.database import Pool

REDUCTIONS_NOW = """
SELECT event_id, sum(shed_kw) AS kw FROM reported_sheds($2) WHERE event_id = ANY ($1) GROUP BY event_id
"""
VENS = """
SELECT ven_id FROM event_vens WHERE event_id = $1 UNION SELECT ven_id FROM reporting_vens($1, $2, $3)
ORDER BY ven_id
"""
HAS_ENERGIES = "SELECT EXISTS (SELECT FROM event_vens WHERE event_id = $1 AND energy_kwh IS NOT NULL)"
REPORTING_VENS = "SELECT ven_id FROM reporting_vens($1, $2, $3)"
DELIVERED = "SELECT ven_id, energy_kwh, covered_seconds FROM delivered_energy($1, $2, $3, $4, $5)"

_VENS_AT_ONCE = 100
"""So that a large event neither fills the memory nor keeps other requests waiting."""


class Delivered(NamedTuple):
    """The energy that a VEN did not use over an event, in kWh, and for how many seconds its samples cover the event."""

    energy_kwh: float
    covered_seconds: float


async def reductions_now(pool: Pool, event_ids: Sequence[str], hold_seconds: float) -> dict[str, float]:
    """Return what is shed now for each of these events, in kW; events that no VEN reports are left out."""
    return {row["event_id"]: row["kw"] for row in await pool.fetch(REDUCTIONS_NOW, event_ids, hold_seconds)}


async def has_energies(pool: Pool, event_id: str) -> bool:
    """Tell whether the settlement has stored energies of an event's VENs."""
    return bool(await pool.fetchval(HAS_ENERGIES, event_id))


async def vens_to_settle(pool: Pool, event_id: str, start: datetime, end: datetime) -> list[str]:
    """Return the VENs that were chosen for an event, and those whose samples name it in [start, end)."""
    return [row["ven_id"] for row in await pool.fetch(VENS, event_id, start, end)]


async def reporting_vens(pool: Pool, event_id: str, start: datetime, end: datetime) -> list[str]:
    """Return the VENs whose samples name an event in [start, end)."""
    return [row["ven_id"] for row in await pool.fetch(REPORTING_VENS, event_id, start, end)]


async def delivered(
    pool: Pool, event_id: str, ven_ids: Sequence[str], interval: tuple[datetime, datetime], hold_seconds: float
) -> dict[str, Delivered]:
    """Return what each of these VENs delivered over [start, end); `hold_seconds` is ENERGY_HOLD_SECONDS."""
    found: dict[str, Delivered] = {}
    for first in range(0, len(ven_ids), _VENS_AT_ONCE):
        some = ven_ids[first : first + _VENS_AT_ONCE]
        for row in await pool.fetch(DELIVERED, event_id, some, *interval, hold_seconds):
            found[row["ven_id"]] = Delivered(row["energy_kwh"], row["covered_seconds"])
    return found
