"""DR events as rows. Their status follows from their times, read by the database's clock."""

from datetime import datetime
from typing import Any

import asyncpg

from runtime.database import Pool, PooledConnection
from schemas.dr.commands import new_event_id
from schemas.rest.events import EventCreate

ONE = "SELECT * FROM event_overview WHERE deleted_at IS NULL AND event_id = $1"
# A cursor is the id of an event; it marks the place although the event was deleted since.
PAGE = """
SELECT * FROM event_overview
WHERE deleted_at IS NULL AND ($1::text IS NULL OR status = $1)
    AND ($2 = '' OR (start_time, event_id) < (SELECT start_time, event_id FROM events WHERE event_id = $2))
ORDER BY start_time DESC, event_id DESC LIMIT $3
"""
OVERLAPPING = """
SELECT * FROM event_overview
WHERE deleted_at IS NULL AND start_time < COALESCE($2, 'infinity'::timestamptz)
    AND over_at > COALESCE($1, '-infinity'::timestamptz)
ORDER BY start_time DESC, event_id DESC LIMIT $3
"""
CURRENT = """
SELECT * FROM event_overview
WHERE deleted_at IS NULL AND status = 'active' ORDER BY start_time DESC, event_id DESC LIMIT 1
"""

# One that is wholly in the past is nothing for the dispatcher.
INSERT = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, ven_ids, ended_at, closed_at)
VALUES ($1, $2, $3, $4, $5, CASE WHEN $3 <= now() THEN $3 END, CASE WHEN $3 <= now() THEN now() END)
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id
"""
NOW = "SELECT now()"
UNKNOWN_VENS = """
SELECT given.ven_id FROM unnest($1::text[]) AS given(ven_id)
WHERE NOT EXISTS (SELECT FROM vens WHERE vens.ven_id = given.ven_id)
ORDER BY given.ven_id LIMIT 20
"""

# One that has not begun is cancelled; one that was started while we waited for its row is ended, though its time was
# not there when we came. The rest of the condition keeps a second stop from moving the end.
STOP = """
UPDATE events SET
    cancelled_at = CASE WHEN start_time > now() AND started_at IS NULL THEN now() END,
    ended_at = CASE WHEN start_time <= now() OR started_at IS NOT NULL THEN GREATEST(now(), start_time) END
WHERE event_id = $1 AND deleted_at IS NULL AND cancelled_at IS NULL AND over_at > now()
RETURNING event_id
"""
# One that is active ends with it: its VENs are to be restored.
DELETE = """
UPDATE events SET
    deleted_at = now(),
    ended_at = CASE WHEN cancelled_at IS NULL AND (start_time <= now() OR started_at IS NOT NULL)
                         AND over_at > now()
                    THEN GREATEST(now(), start_time) ELSE ended_at END
WHERE event_id = $1 AND deleted_at IS NULL
RETURNING event_id
"""


async def database_now(connection: PooledConnection) -> datetime:
    """Return when this transaction began, by the clock that events go by."""
    now: datetime = await connection.fetchval(NOW)
    return now


async def unknown_vens(connection: PooledConnection, ven_ids: list[str]) -> list[str]:
    """Return which of these the registry does not have: the first of them."""
    return [row["ven_id"] for row in await connection.fetch(UNKNOWN_VENS, ven_ids)]


async def insert_event(connection: PooledConnection, event: EventCreate, start: datetime) -> str:
    """Create an event that starts at `start`, under a new id."""
    values: tuple[Any, ...] = (start, event.end_time, event.requested_reduction_kw, event.ven_ids)
    while True:
        event_id = new_event_id()
        if await connection.fetchval(INSERT, event_id, *values) is not None:
            return event_id


async def fetch_event(pool: Pool | PooledConnection, event_id: str) -> asyncpg.Record | None:
    """Return an event, or None."""
    return await pool.fetchrow(ONE, event_id)


async def fetch_events(pool: Pool, *, status: str | None, cursor: str, limit: int) -> list[asyncpg.Record]:
    """Return events, those that start last first, from the one after `cursor` on."""
    return await pool.fetch(PAGE, status, cursor, limit)


async def fetch_overlapping(
    pool: Pool, start: datetime | None, end: datetime | None, limit: int
) -> list[asyncpg.Record]:
    """Return events that overlap [start, end), those that start last first; None is no bound."""
    return await pool.fetch(OVERLAPPING, start, end, limit)


async def fetch_current(pool: Pool) -> asyncpg.Record | None:
    """Return the active event that began last, or None."""
    return await pool.fetchrow(CURRENT)


async def stop_event(connection: PooledConnection, event_id: str) -> bool:
    """End an event now, or cancel it; False when it is over or not there."""
    return await connection.fetchval(STOP, event_id) is not None


async def delete_event(connection: PooledConnection, event_id: str) -> bool:
    """Remove an event from sight; False when it is not there."""
    return await connection.fetchval(DELETE, event_id) is not None
