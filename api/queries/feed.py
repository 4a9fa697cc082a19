"""What changed: asked by the follower of the feed, once for all clients of the process."""

from collections.abc import Collection
from datetime import datetime

import asyncpg

from runtime.database import Pool

NOW = "SELECT clock_timestamp()"

# Those that are not closed, and those that were closed, cancelled or deleted a short time ago. Those that are active
# come before all that are planned, however many these are.
EVENTS = """
SELECT event_id, start_time, end_time, requested_reduction_kw, created_at, ended_at, cancelled_at, actual_reduction_kw,
       is_settled, CASE WHEN deleted_at IS NOT NULL THEN 'deleted' ELSE status END AS status
FROM event_overview
WHERE CASE WHEN deleted_at IS NULL THEN closed_at IS NULL OR closed_at > now() - interval '10 minutes'
           ELSE deleted_at > now() - interval '10 minutes' END
ORDER BY start_time, event_id LIMIT $1
"""

_COMMANDS = """
SELECT c.correlation_id, c.ven_id, c.event_id, c.op, c.phase, command_state(c) AS state, c.ack_status, c.shed_at,
       c.lost_at, c.changed_at, now() AS asked_at
FROM commands AS c
"""
LAST_COMMANDS = _COMMANDS + "WHERE changed_at > $1 ORDER BY changed_at DESC LIMIT $2"
NEXT_COMMANDS = f"""
{_COMMANDS} WHERE (changed_at, correlation_id) > ($1, $2) ORDER BY changed_at, correlation_id LIMIT $3
"""

# Of a whole fleet, so only what is needed to see who came and who went.
ONLINE = """
SELECT v.ven_id FROM vens AS v JOIN ven_status AS s USING (ven_id) WHERE ven_presence(v, s, $1) = 'online'
"""
PRESENCE = """
SELECT v.ven_id, v.name, s.received_at, ven_presence(v, s, $1) AS status
FROM vens AS v LEFT JOIN ven_status AS s USING (ven_id) WHERE v.ven_id = ANY ($2)
"""


async def fetch_now(pool: Pool) -> datetime:
    """Return the time by the clock that changes go by."""
    now: datetime = await pool.fetchval(NOW)
    return now


async def fetch_open_events(pool: Pool, limit: int) -> list[asyncpg.Record]:
    """Return the events that are not over, or have been for less than 10 minutes."""
    return await pool.fetch(EVENTS, limit)


async def fetch_last_commands(pool: Pool, since: datetime, limit: int) -> list[asyncpg.Record]:
    """Return the commands that changed last, the last one first."""
    return await pool.fetch(LAST_COMMANDS, since, limit)


async def fetch_next_commands(pool: Pool, since: datetime, correlation_id: str, limit: int) -> list[asyncpg.Record]:
    """Return the commands that changed after that one did, the first one first."""
    return await pool.fetch(NEXT_COMMANDS, since, correlation_id, limit)


async def fetch_online(pool: Pool, offline_after: float) -> set[str]:
    """Return who is online."""
    return {row["ven_id"] for row in await pool.fetch(ONLINE, offline_after)}


async def fetch_presence(pool: Pool, offline_after: float, ven_ids: Collection[str]) -> list[asyncpg.Record]:
    """Return the status of some VENs; those that are gone are left out."""
    return await pool.fetch(PRESENCE, offline_after, ven_ids)
