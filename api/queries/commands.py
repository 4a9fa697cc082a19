"""Commands to VENs: each a row, which the dispatcher sends."""

import msgspec

from runtime.database import PooledConnection
from schemas.dr.commands import Command, duration_of

# Held until the command is in: a VEN is not deleted, disabled or sent the same event in between.
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
INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, created_at, ends_at)
SELECT $1, $2, $3, $4, $5, clock.now, clock.now + $6::float8 * interval '1 second'
FROM (SELECT clock_timestamp() AS now) AS clock
"""


async def lock_ven(connection: PooledConnection, ven_id: str) -> str | None:
    """Hold a VEN for this transaction; returns its status in the registry, None when it is not there."""
    status: str | None = await connection.fetchval(LOCK_VEN, ven_id)
    return status


async def has_load(connection: PooledConnection, ven_id: str, load_id: str) -> bool:
    """Tell whether the VEN's last list of loads has the load."""
    return bool(await connection.fetchval(HAS_LOAD, ven_id, load_id))


async def is_shedding(connection: PooledConnection, ven_id: str, event_id: str) -> bool:
    """Tell whether the VEN was told of the event, its time is not over, and it was not told to restore since."""
    return bool(await connection.fetchval(IS_SHEDDING, ven_id, event_id))


async def busy_with(connection: PooledConnection, ven_id: str) -> str | None:
    """Return the DR event that the gateway has told the VEN to shed for and that is not over for it, or None."""
    event_id: str | None = await connection.fetchval(BUSY_WITH, ven_id)
    return event_id


async def end_shedding(connection: PooledConnection, ven_id: str) -> str | None:
    """Note that what the VEN sheds for events ends now; returns the event that it was told of last, None of none."""
    ended = await connection.fetch(END_SHEDDING, ven_id)
    return max(ended, key=lambda row: row["seq"])["event_id"] if ended else None


async def insert_command(connection: PooledConnection, command: Command) -> None:
    """Hand a command to the dispatcher."""
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
