"""DR events in the database: which are due, their participants, and the commands of their start and end."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from runtime.database import Connection
from schemas.dr.commands import Command
from schemas.dr.event_lifecycle import EventTimes

# Events with an action that may be due. Events that wait for their time are skipped by the index.
DUE = """
SELECT event_id, start_time, end_time, started_at, ended_at, cancelled_at, deleted_at, closed_at,
       clock_timestamp() AS asked_at
FROM events
WHERE closed_at IS NULL AND (start_time <= now() OR cancelled_at IS NOT NULL OR deleted_at IS NOT NULL)
ORDER BY over_at, event_id
"""
# Locked until the end of the transaction: nobody stops an event while its VENs are chosen.
LOCK = """
SELECT event_id, start_time, end_time, requested_reduction_kw, ven_ids, started_at, ended_at, cancelled_at, deleted_at,
       closed_at
FROM events WHERE event_id = $1 FOR NO KEY UPDATE
"""
CLOCK = "SELECT clock_timestamp()"

# Online VENs that may take part and do not yet; locked, so that no operator sends one an event at the same time.
CANDIDATES = """
SELECT v.ven_id
FROM vens AS v JOIN ven_status AS s USING (ven_id)
WHERE ($2::text[] IS NULL OR v.ven_id = ANY ($2))
    AND NOT EXISTS (SELECT FROM event_vens AS e
                    WHERE e.event_id = $1 AND e.ven_id = v.ven_id AND e.share_kw IS NOT NULL)
    AND ven_presence(v, s, $3) = 'online'
ORDER BY v.ven_id FOR NO KEY UPDATE OF v
"""
# The shed capability of each VEN, null where it lists no loads, at most $2 kW, and the event that it is busy with: a
# second event would shed on top of the first, and the end of either would end both. What a VEN still sheds for an event
# of ours that is over, it can shed again.
CAPABILITIES = """
SELECT s.ven_id,
       shed_capability(s.loads, CASE
           WHEN s.shed_power_kw > 0 AND s.shed_power_at > now() - interval '20 minutes'
               AND EXISTS (SELECT FROM commands AS c WHERE c.ven_id = s.ven_id AND c.event_id = s.shed_event_id
                               AND c.op IN ('event', 'shedPanel'))
           THEN s.shed_power_kw ELSE 0 END, $2) AS capability_kw,
       (SELECT a.event_id FROM active_sheds AS a WHERE a.ven_id = s.ven_id ORDER BY a.ends_at DESC LIMIT 1) AS busy_with
FROM ven_status AS s WHERE s.ven_id = ANY ($1)
ORDER BY s.ven_id
"""
CAPABILITIES_OF_PARTICIPANTS = "SELECT capability_kw FROM event_vens WHERE event_id = $1 AND share_kw IS NOT NULL"
RECORD_PARTICIPANTS = """
INSERT INTO event_vens AS mine (event_id, ven_id, share_kw, capability_kw, reason, late)
SELECT $1, ven_id, share_kw, capability_kw, reason, $6
FROM unnest($2::text[], $3::float8[], $4::float8[], $5::text[]) AS chosen(ven_id, share_kw, capability_kw, reason)
ON CONFLICT (event_id, ven_id) DO UPDATE SET
    share_kw = excluded.share_kw, capability_kw = excluded.capability_kw, reason = excluded.reason,
    late = excluded.late, decided_at = now()
WHERE mine.share_kw IS NULL AND (excluded.share_kw IS NOT NULL OR excluded.reason <> mine.reason)
"""
INSERT_COMMANDS = """
WITH decided AS (
    INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, phase, command_revision, expires_at, ends_at)
    SELECT correlation_id, ven_id, op, $1, payload, $6, $7, $8, $9
    FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) AS given(correlation_id, ven_id, op, payload)
    ON CONFLICT (event_id, ven_id, phase, command_revision) WHERE phase IS NOT NULL DO NOTHING
    RETURNING correlation_id
)
INSERT INTO outbox (kind, key) SELECT 'command', correlation_id FROM decided
"""
STARTED = "UPDATE events SET started_at = now() WHERE event_id = $1"

# The publisher, evidence and answers change the same commands. All lock them in one order, which prevents deadlocks.
LOCK_COMMANDS = """
SELECT FROM commands WHERE event_id = $1 AND phase = 'event' ORDER BY correlation_id FOR NO KEY UPDATE
"""
# A command that Kafka is not known to have is withdrawn; of a later attempt, only that attempt.
WITHDRAW = """
UPDATE commands SET logged_at = now(), expired_at = CASE WHEN attempt = 1 THEN now() ELSE expired_at END
WHERE event_id = $1 AND phase = 'event' AND logged_at IS NULL
"""
END_COMMANDS = "UPDATE commands SET ends_at = LEAST(ends_at, $2) WHERE event_id = $1 AND phase = 'event'"
# A VEN that left the event and sheds for another one since is not restored: that would end the other shed.
TO_RESTORE = """
SELECT DISTINCT c.ven_id FROM commands AS c
WHERE c.event_id = $1 AND c.phase = 'event'
    AND (c.expired_at IS NULL OR may_have_arrived(c))
    AND NOT EXISTS (SELECT FROM commands AS later
                    WHERE later.ven_id = c.ven_id AND later.seq > c.seq AND later.op IN ('event', 'shedPanel')
                        AND later.event_id <> c.event_id AND later.ends_at > now() AND later.expired_at IS NULL)
ORDER BY c.ven_id
"""
CLOSE = "UPDATE events SET closed_at = now(), missed = $2 WHERE event_id = $1"


async def clock(connection: Connection) -> datetime:
    """Return the time now by the database's clock, which decides when events start and end."""
    now: datetime = await connection.fetchval(CLOCK)
    return now


async def due_events(connection: Connection) -> list[Any]:
    """Return the events that have begun and are not closed, ordered by their end."""
    return list(await connection.fetch(DUE))


async def lock_event(connection: Connection, event_id: str) -> tuple[Any, EventTimes, datetime]:
    """Lock an event until the end of the transaction; returns its row, its times, and the time now."""
    row = await connection.fetchrow(LOCK, event_id)
    return row, times_of(row), await clock(connection)


def times_of(row: Any) -> EventTimes:
    """Return the times of an event's row."""
    return EventTimes(**{name: row[name] for name in EventTimes.__dataclass_fields__})


async def candidates(connection: Connection, event: Any, offline_after: float, max_shed_kw: float) -> list[Any]:
    """Return the VENs that may take part in an event and do not yet: `ven_id`, `capability_kw`, `busy_with`.

    No capability is above `max_shed_kw`.
    """
    held = await connection.fetch(CANDIDATES, event["event_id"], event["ven_ids"], offline_after)
    # In a statement of its own: it has to see what others did to these VENs before they were held.
    return list(await connection.fetch(CAPABILITIES, [row["ven_id"] for row in held], max_shed_kw)) if held else []


async def participant_capabilities(connection: Connection, event_id: str) -> list[float | None]:
    """Return what each participant of an event can shed, in kW; None where it is unknown."""
    return [row["capability_kw"] for row in await connection.fetch(CAPABILITIES_OF_PARTICIPANTS, event_id)]


async def record_participants(
    connection: Connection,
    event_id: str,
    chosen: Sequence[tuple[str, float | None, float | None, str]],
    *,
    late: bool,
) -> None:
    """Record VENs with share (kW; None takes no part), capability (kW) and reason."""
    if chosen:
        await connection.execute(
            RECORD_PARTICIPANTS, event_id, *(list(column) for column in zip(*chosen, strict=True)), late
        )


async def insert_commands(
    connection: Connection,
    event_id: str,
    commands: Iterable[Command],
    *,
    phase: str,
    expires_at: datetime,
    ends_at: datetime | None = None,
    command_revision: int = 1,
) -> None:
    """Write commands of an event for the outbox; a VEN that has one of this phase and revision keeps it.

    Raises:
        asyncpg.UniqueViolationError: a correlation id was given before; try again with others.
    """
    rows = [
        (command.correlation_id, command.ven_id, command.op, msgspec.json.encode(command.payload).decode())
        for command in commands
    ]
    if rows:
        columns = (list(column) for column in zip(*rows, strict=True))
        await connection.execute(INSERT_COMMANDS, event_id, *columns, phase, command_revision, expires_at, ends_at)


async def note_started(connection: Connection, event_id: str) -> None:
    """Record that the VENs of an event were chosen."""
    await connection.execute(STARTED, event_id)


async def end_commands(connection: Connection, event_id: str, over_at: datetime) -> list[str]:
    """End the commands of an event; returns the VENs that may have received one."""
    # Before the withdrawal: Kafka may have a command that it did not confirm, or that was not recorded before a crash.
    # A VEN that may receive the event has to receive its end as well.
    to_restore = [row["ven_id"] for row in await connection.fetch(TO_RESTORE, event_id)]
    await connection.execute(LOCK_COMMANDS, event_id)
    await connection.execute(WITHDRAW, event_id)
    await connection.execute(END_COMMANDS, event_id, over_at)
    return to_restore


async def close_event(connection: Connection, event_id: str, *, missed: bool = False) -> None:
    """Close an event: nothing more is to be done about it."""
    await connection.execute(CLOSE, event_id, missed)
