"""What changed: asked by the follower of the feed, once for all clients of the process."""

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg

from api.queries.acks import GOOD_WORDS
from api.queries.command_history import STEP_COLUMNS
from api.queries.dead_letters import NEWEST_FIRST, SUMMARY
from api.queries.events import STATUS
from runtime.database import Pool
from schemas.tables.sql_presence import status_of
from schemas.tables.sql_reduction import REPORTED

NOW = "SELECT clock_timestamp()"

# Those that are not closed, and those that were closed, cancelled or deleted a short time ago. Those that are active
# come before all that are planned, however many these are.
EVENTS = f"""
SELECT event_id, start_time, end_time, requested_reduction_kw, created_at, ended_at, cancelled_at, actual_reduction_kw,
       closed_at IS NOT NULL AND settled_at IS NOT NULL AS is_settled,
       CASE WHEN deleted_at IS NOT NULL THEN 'deleted' ELSE {STATUS} END AS status
FROM events
WHERE CASE WHEN deleted_at IS NULL THEN closed_at IS NULL OR closed_at > now() - interval '10 minutes'
           ELSE deleted_at > now() - interval '10 minutes' END
ORDER BY start_time, event_id LIMIT $1
"""  # noqa: S608 - our own text

_STEPS = ", ".join(STEP_COLUMNS)
_GOOD = f"acked_at IS NOT NULL AND ack_status IN ({GOOD_WORDS})"

# How many VENs of each event got how far: schemas.dr.command_state and api.services.event_progress.funnel in SQL, over
# the last telling and the last restore of each VEN. A test compares them.
PROGRESS = f"""
WITH last AS (
    SELECT DISTINCT ON (event_id, ven_id, op = 'restore') event_id, ven_id, op = 'restore' AS restores, created_at,
           {_STEPS}
    FROM commands WHERE event_id = ANY ($1)
    ORDER BY event_id, ven_id, op = 'restore', phase IS NULL, seq DESC
), told AS (
    SELECT *, acked_at IS NOT NULL OR reported_at IS NOT NULL AS arrived, {_GOOD} AS accepted FROM last
    WHERE NOT restores
), restored AS (
    SELECT event_id, ven_id FROM last WHERE restores AND (reported_at IS NOT NULL OR {_GOOD})
), shed AS (
    SELECT s.event_id, s.ven_id, s.shed_power_kw AS kw FROM ven_status AS s JOIN events AS e USING (event_id)
    WHERE s.event_id = ANY ($1) AND s.shed_power_kw > 0 AND e.closed_at IS NULL
    UNION ALL
    SELECT event_id, ven_id, energy_kwh FROM event_vens WHERE event_id = ANY ($1) AND energy_kwh > 0
), targeted AS (
    SELECT event_id, ven_id FROM event_vens WHERE event_id = ANY ($1) AND reason <> '{REPORTED}'
    UNION
    SELECT event_id, ven_id FROM told
    UNION
    SELECT event_id, unnest(ven_ids) FROM events WHERE event_id = ANY ($1)
)
SELECT COALESCE(ven.event_id, shed.event_id) AS event_id,
       count(ven.ven_id) AS targeted,
       count(*) FILTER (WHERE arrived OR sent_at IS NOT NULL OR sending_at IS NOT NULL OR logged_at IS NOT NULL)
           AS logged,
       count(*) FILTER (WHERE arrived OR sent_at IS NOT NULL) AS sent,
       count(*) FILTER (WHERE accepted) AS acknowledged,
       count(*) FILTER (WHERE acked_at IS NOT NULL AND NOT accepted) AS refused,
       count(*) FILTER (WHERE expired_at IS NOT NULL AND NOT arrived AND sending_at IS NULL AND sent_at IS NULL)
           AS expired,
       count(*) FILTER (WHERE unanswered_at IS NOT NULL AND acked_at IS NULL
           AND (expired_at IS NULL OR arrived OR sending_at IS NOT NULL OR sent_at IS NOT NULL)) AS unanswered,
       count(lost_at) AS lost,
       count(shed.kw) AS shedding,
       count(*) FILTER (WHERE (accepted OR reported_at IS NOT NULL) AND lost_at IS NULL
           AND restored.ven_id IS NOT NULL) AS restored,
       count(*) FILTER (WHERE accepted OR shed.kw IS NOT NULL) AS responding,
       COALESCE(sum(shed.kw), 0) AS kw,
       count(acked_at) AS responses,
       avg(ms) AS mean_ms,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) AS p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY ms) AS p95
FROM (SELECT targeted.event_id, targeted.ven_id, told.arrived, told.accepted, {_STEPS},
             extract(epoch FROM told.acked_at - told.created_at) * 1000 AS ms
      FROM targeted LEFT JOIN told USING (event_id, ven_id)) AS ven
     LEFT JOIN restored USING (event_id, ven_id)
     FULL JOIN shed ON shed.event_id = ven.event_id AND shed.ven_id = ven.ven_id
GROUP BY 1
"""  # noqa: S608 - our own text

_COMMANDS = f"""
SELECT correlation_id, ven_id, event_id, op, phase, {_STEPS}, changed_at, now() AS asked_at FROM commands
"""  # noqa: S608 - our own text
LAST_COMMANDS = _COMMANDS + "WHERE changed_at > $1 ORDER BY changed_at DESC LIMIT $2"
NEXT_COMMANDS = f"""
{_COMMANDS} WHERE (changed_at, correlation_id) > ($1, $2) ORDER BY changed_at, correlation_id LIMIT $3
"""

# Of a whole fleet, so only what is needed to see who came and who went.
ONLINE = f"""
SELECT v.ven_id FROM vens AS v JOIN ven_status AS s USING (ven_id) WHERE {status_of("$1")} = 'online'
"""  # noqa: S608 - our own text
PRESENCE = f"""
SELECT v.ven_id, v.name, s.received_at, {status_of("$1")} AS status
FROM vens AS v LEFT JOIN ven_status AS s USING (ven_id) WHERE v.ven_id = ANY ($2)
"""  # noqa: S608 - our own text

LETTERS = SUMMARY + "WHERE time > $1" + NEWEST_FIRST + "$2"


async def fetch_now(pool: Pool) -> datetime:
    """Return the time by the clock that changes go by."""
    now: datetime = await pool.fetchval(NOW)
    return now


async def fetch_open_events(pool: Pool, limit: int) -> list[asyncpg.Record]:
    """Return the events that are not over, or have been for less than 10 minutes."""
    return await pool.fetch(EVENTS, limit)


async def fetch_progress(pool: Pool, event_ids: Sequence[str]) -> dict[str, asyncpg.Record]:
    """Return how far the VENs of each event got; events without any are left out."""
    return {row["event_id"]: row for row in await pool.fetch(PROGRESS, event_ids)}


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


async def fetch_new_dead_letters(pool: Pool, since: datetime, limit: int) -> list[asyncpg.Record]:
    """Return the dead letters received last, the last one first."""
    return await pool.fetch(LETTERS, since, limit)
