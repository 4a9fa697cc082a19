"""What VENs shed for an event: now, and over its time."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from runtime.database import Pool
from schemas.tables.sql_reduction import DELIVERED, VENS_THAT_REPORTED

SHED_NOW = "SELECT ven_id, COALESCE(shed_power_kw, 0) AS kw FROM ven_status WHERE event_id = $1"

REDUCTIONS_NOW = """
SELECT event_id, sum(COALESCE(shed_power_kw, 0)) AS kw FROM ven_status WHERE event_id = ANY ($1) GROUP BY event_id
"""

_VENS_AT_ONCE = 100
"""So that a large event neither fills the memory nor keeps other requests waiting."""


class Delivered(NamedTuple):
    """What a VEN did not use over an event, in kWh, and for how many seconds of it samples tell so."""

    energy_kwh: float
    covered_seconds: float


async def sheds_now(pool: Pool, event_id: str) -> dict[str, float]:
    """Return what each VEN that reports an event sheds now, in kW."""
    return {row["ven_id"]: row["kw"] for row in await pool.fetch(SHED_NOW, event_id)}


async def reductions_now(pool: Pool, event_ids: Sequence[str]) -> dict[str, float]:
    """Return what is shed now for each of these events, in kW; events that nobody reports are left out."""
    return {row["event_id"]: row["kw"] for row in await pool.fetch(REDUCTIONS_NOW, event_ids)}


async def vens_that_reported(pool: Pool, event_id: str, start: datetime, end: datetime) -> list[str]:
    """Return the VENs whose samples name an event in [start, end)."""
    return [row["ven_id"] for row in await pool.fetch(VENS_THAT_REPORTED, event_id, start, end)]


async def delivered(
    pool: Pool, event_id: str, ven_ids: Sequence[str], interval: tuple[datetime, datetime], hold_seconds: float
) -> dict[str, Delivered]:
    """Return what each of these VENs did over [start, end) of an event; a sample covers `hold_seconds` at most."""
    found: dict[str, Delivered] = {}
    for first in range(0, len(ven_ids), _VENS_AT_ONCE):
        some = ven_ids[first : first + _VENS_AT_ONCE]
        for row in await pool.fetch(DELIVERED, event_id, some, *interval, hold_seconds):
            found[row["ven_id"]] = Delivered(row["energy_kwh"], row["covered_seconds"])
    return found
