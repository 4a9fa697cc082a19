"""Commands to VENs: each a row, and a row of the outbox that gets it published."""

import msgspec

from runtime.database import PooledConnection
from schemas.dr.commands import Command, duration_of

# Locked until the command is written: meanwhile the VEN is not deleted, disabled or sent the same event.
LOCK_VEN = "SELECT status FROM vens WHERE ven_id = $1 FOR NO KEY UPDATE"

HAS_LOAD = """
SELECT EXISTS (SELECT FROM ven_status, json_array_elements(loads) AS load
               WHERE ven_id = $1 AND json_typeof(loads) = 'array' AND load ->> 'id' = $2)
"""

IS_SHEDDING = "SELECT EXISTS (SELECT FROM active_sheds WHERE ven_id = $1 AND event_id = $2)"
BUSY_WITH = "SELECT event_id FROM active_sheds WHERE ven_id = $1 AND phase = 'event' ORDER BY ends_at DESC LIMIT 1"
END_SHEDDING = """
UPDATE commands SET ends_at = clock_timestamp()
WHERE ven_id = $1 AND op IN ('event', 'shedPanel') AND ends_at > now()
RETURNING event_id, seq
"""

INSERT = """
WITH command AS (
    INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, created_at, ends_at)
    SELECT $1, $2, $3, $4, $5, clock.now, clock.now + $6::float8 * interval '1 second'
    FROM (SELECT clock_timestamp() AS now) AS clock
    RETURNING correlation_id
)
INSERT INTO outbox (kind, key) SELECT 'command', correlation_id FROM command
"""


async def lock_ven(connection: PooledConnection, ven_id: str) -> str | None:
    """Lock a VEN for this transaction; return its status in the registry, None if it is not registered."""
    status: str | None = await connection.fetchval(LOCK_VEN, ven_id)
    return status


async def has_load(connection: PooledConnection, ven_id: str, load_id: str) -> bool:
    """Tell whether the VEN's last list of loads has the load."""
    return bool(await connection.fetchval(HAS_LOAD, ven_id, load_id))


async def is_shedding(connection: PooledConnection, ven_id: str, event_id: str) -> bool:
    """Tell whether the VEN was sent the event, which is not over, and no restore since."""
    return bool(await connection.fetchval(IS_SHEDDING, ven_id, event_id))


async def busy_with(connection: PooledConnection, ven_id: str) -> str | None:
    """Return the DR event for which the VEN got a command and that is not over for it, or None."""
    event_id: str | None = await connection.fetchval(BUSY_WITH, ven_id)
    return event_id


async def end_shedding(connection: PooledConnection, ven_id: str) -> str | None:
    """End what the VEN sheds for events now; return the last such event, None if it sheds for none."""
    ended = await connection.fetch(END_SHEDDING, ven_id)
    return max(ended, key=lambda row: row["seq"])["event_id"] if ended else None


async def insert_command(connection: PooledConnection, command: Command) -> None:
    """Store a command, to be published after the commit."""
    payload = msgspec.json.encode(command.payload).decode()
    await connection.execute(
        INSERT,
        command.correlation_id,
        command.ven_id,
        command.op,
        command.event_id,
        payload,
        duration_of(command),
    )
