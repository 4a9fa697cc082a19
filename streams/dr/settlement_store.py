"""Stores the delivered energy of each VEN of a completed event, and the event's reduction.

VENs are settled a hundred at a time, each batch in its own transaction, and the event is marked last. A crash repeats
work and harms nothing, and no transaction is long, however large the event.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from runtime.database import Connection

VENS_AT_ONCE = 100

# The condition is that of the index events_unsettled, which holds the events of about a day.
UNSETTLED = """
SELECT event_id, start_time, over_at, GREATEST(over_at, created_at) AS settle_from, settled_at
FROM events
WHERE closed_at IS NOT NULL AND cancelled_at IS NULL AND deleted_at IS NULL
    AND (settled_at IS NULL OR settled_at - GREATEST(over_at, created_at) < interval '24 hours')
ORDER BY settled_at NULLS FIRST, closed_at
"""

VENS = """
SELECT ven_id FROM event_vens WHERE event_id = $1 UNION SELECT ven_id FROM reporting_vens($1, $2, $3)
ORDER BY ven_id
"""

# A VEN that was deleted meanwhile does not come back.
STORE = """
INSERT INTO event_vens (event_id, ven_id, reason, energy_kwh, covered_seconds)
SELECT $1, d.ven_id, 'reported', d.energy_kwh, d.covered_seconds FROM delivered_energy($1, $2, $3, $4, $5) AS d
WHERE EXISTS (SELECT FROM vens WHERE vens.ven_id = d.ven_id)
ON CONFLICT (event_id, ven_id) DO UPDATE SET
    energy_kwh = excluded.energy_kwh, covered_seconds = excluded.covered_seconds
"""

SETTLED = """
UPDATE events SET settled_at = $2, actual_reduction_kw = CASE
    WHEN over_at > start_time
    THEN (SELECT COALESCE(sum(energy_kwh), 0) FROM event_vens WHERE event_vens.event_id = $1)
        * 3600 / extract(epoch FROM over_at - start_time)::float8
    ELSE 0 END
WHERE event_id = $1 AND settled_at IS NOT DISTINCT FROM $3
"""


async def unsettled(connection: Connection) -> list[asyncpg.Record]:
    """Return the events that are closed and not finally settled."""
    return await connection.fetch(UNSETTLED)


async def vens_of(connection: Connection, event: asyncpg.Record) -> list[str]:
    """Return the VENs that were chosen for an event, and those whose samples name it."""
    rows = await connection.fetch(VENS, event["event_id"], event["start_time"], event["over_at"])
    return [row["ven_id"] for row in rows]


async def store_delivered(
    connection: Connection, event: asyncpg.Record, ven_ids: Sequence[str], hold_seconds: float
) -> None:
    """Store what these VENs delivered over an event; `hold_seconds` is ENERGY_HOLD_SECONDS."""
    await connection.execute(STORE, event["event_id"], ven_ids, event["start_time"], event["over_at"], hold_seconds)


async def mark_settled(connection: Connection, event: asyncpg.Record, moment: datetime) -> None:
    """Mark an event as settled, with its reduction; `moment` is when the settlement of its VENs began.

    An event that was settled by another worker meanwhile, or whose readings were removed, is left as it is.
    """
    await connection.execute(SETTLED, event["event_id"], moment, event["settled_at"])
