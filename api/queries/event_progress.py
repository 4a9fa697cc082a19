"""How far the VENs of DR events got: functions of the database, which the live feed calls as well."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from api.queries.event_reduction import Delivered
from runtime.database import Pool

PROGRESS = "SELECT * FROM event_progress($1, $2, $3, $4, $5)"
# The name of a VEN that was deleted is its id.
VENS = """
SELECT p.*, COALESCE(v.name, p.ven_id) AS ven_name
FROM event_ven_progress($1, $2, $3, $4, $5) AS p LEFT JOIN vens AS v USING (ven_id)
ORDER BY p.ven_id
"""

Computed = Mapping[str, Delivered]
"""By VEN, what it delivered over a completed event that is not settled yet."""


class EventProgress(NamedTuple):
    """The funnel and performance of an event, and one row for each of its VENs, ordered by id."""

    totals: asyncpg.Record
    vens: list[asyncpg.Record]


async def fetch_progress(pool: Pool, event_ids: Sequence[str], hold_seconds: float) -> dict[str, asyncpg.Record]:
    """Return the funnel and performance of each event; energies that are not settled are left out."""
    return {row["event_id"]: row for row in await pool.fetch(PROGRESS, event_ids, [], [], [], hold_seconds)}


async def fetch_event_totals(pool: Pool, event_id: str, computed: Computed, hold_seconds: float) -> asyncpg.Record:
    """Return the funnel and performance of one event."""
    (totals,) = await pool.fetch(PROGRESS, *_arguments(event_id, computed, hold_seconds))
    return totals


async def fetch_event_progress(pool: Pool, event_id: str, computed: Computed, hold_seconds: float) -> EventProgress:
    """Return the funnel, performance and VENs of one event, all of one moment."""
    arguments = _arguments(event_id, computed, hold_seconds)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        (totals,) = await connection.fetch(PROGRESS, *arguments)
        return EventProgress(totals, await connection.fetch(VENS, *arguments))


def _arguments(event_id: str, computed: Computed, hold_seconds: float) -> tuple[Any, ...]:
    energies = [each.energy_kwh for each in computed.values()]
    return [event_id], list(computed), energies, [each.covered_seconds for each in computed.values()], hold_seconds
