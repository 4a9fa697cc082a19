"""The figures of DR events that are over, stored with their VENs: so that nobody has to compute them to show them.

VENs are settled a hundred at a time, each piece a transaction of its own, and the event is marked last. So a crash
repeats work and spoils nothing, and no transaction is long, however large the event.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from runtime.database import Connection
from schemas.tables.sql_reduction import DELIVERED, REPORTED, VENS_THAT_REPORTED

VENS_AT_ONCE = 100

# The condition is that of the index events_unsettled, which holds the events of about a day.
UNSETTLED = """
SELECT event_id, start_time, COALESCE(ended_at, end_time) AS over_at,
       GREATEST(COALESCE(ended_at, end_time), created_at) AS known_at, settled_at
FROM events
WHERE closed_at IS NOT NULL AND cancelled_at IS NULL AND deleted_at IS NULL
    AND (settled_at IS NULL OR settled_at - GREATEST(COALESCE(ended_at, end_time), created_at) < interval '24 hours')
ORDER BY settled_at NULLS FIRST, closed_at
"""

VENS = f"""
SELECT ven_id FROM event_vens WHERE event_id = $1 UNION SELECT ven_id FROM ({VENS_THAT_REPORTED}) AS reported
ORDER BY ven_id
"""  # noqa: S608 - our own text

# A VEN that was deleted meanwhile is not brought back.
KEEP = f"""
INSERT INTO event_vens (event_id, ven_id, reason, energy_kwh, covered_seconds)
SELECT $1, ven_id, '{REPORTED}', energy_kwh, covered_seconds FROM ({DELIVERED}) AS figures
WHERE EXISTS (SELECT FROM vens WHERE vens.ven_id = figures.ven_id)
ON CONFLICT (event_id, ven_id) DO UPDATE SET
    energy_kwh = excluded.energy_kwh, covered_seconds = excluded.covered_seconds
"""  # noqa: S608 - our own text

SETTLED = """
UPDATE events SET settled_at = $2, actual_reduction_kw = CASE
    WHEN COALESCE(ended_at, end_time) > start_time
    THEN (SELECT COALESCE(sum(energy_kwh), 0) FROM event_vens WHERE event_vens.event_id = $1)
        * 3600 / extract(epoch FROM COALESCE(ended_at, end_time) - start_time)::float8
    ELSE 0 END
WHERE event_id = $1 AND (settled_at IS NULL OR settled_at < $2)
"""


async def unsettled(connection: Connection) -> list[asyncpg.Record]:
    """Return the events that are closed and not yet settled for good."""
    return await connection.fetch(UNSETTLED)


async def vens_of(connection: Connection, event: asyncpg.Record) -> list[str]:
    """Return the VENs that were chosen for an event, and those whose samples name it."""
    rows = await connection.fetch(VENS, event["event_id"], event["start_time"], event["over_at"])
    return [row["ven_id"] for row in rows]


async def keep(connection: Connection, event: asyncpg.Record, ven_ids: Sequence[str], hold_seconds: float) -> None:
    """Store what these VENs delivered over an event; a sample covers `hold_seconds` of it at most."""
    await connection.execute(KEEP, event["event_id"], ven_ids, event["start_time"], event["over_at"], hold_seconds)


async def settled(connection: Connection, event: asyncpg.Record, moment: datetime) -> None:
    """Note that all VENs of an event have been settled, beginning at a moment, and what they come to."""
    await connection.execute(SETTLED, event["event_id"], moment)
