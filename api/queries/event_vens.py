"""The VENs of a DR event: who was chosen, and how far those that were told have got."""

from collections.abc import Sequence

import asyncpg

from api.queries.command_history import STEPS
from runtime.database import Pool

CHOSEN = """
SELECT ven_id, share_kw, capability_kw, reason, late, energy_kwh, covered_seconds FROM event_vens WHERE event_id = $1
"""

# The last command by which each VEN was told, and the last that restores it. The gateway's own count before what an
# operator sent under the event's id.
TOLD = f"""
SELECT DISTINCT ON (c.ven_id, restores) c.ven_id, c.op = 'restore' AS restores, c.correlation_id, c.created_at, {STEPS}
FROM commands AS c WHERE c.event_id = $1
ORDER BY c.ven_id, restores, c.phase IS NULL, c.seq DESC
"""  # noqa: S608 - our own text

NAMES = "SELECT ven_id, name FROM vens WHERE ven_id = ANY ($1)"


async def fetch_chosen(pool: Pool, event_id: str) -> dict[str, asyncpg.Record]:
    """Return what was decided for each VEN of an event, and its figures where the event was settled."""
    return {row["ven_id"]: row for row in await pool.fetch(CHOSEN, event_id)}


async def fetch_told(pool: Pool, event_id: str) -> list[asyncpg.Record]:
    """Return the last telling and the last restore of each VEN of an event."""
    return await pool.fetch(TOLD, event_id)


async def fetch_names(pool: Pool, ven_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of these VENs; those that were deleted are left out."""
    return {row["ven_id"]: row["name"] for row in await pool.fetch(NAMES, ven_ids)}
