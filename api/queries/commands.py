"""Commands to VENs: each a row, which the dispatcher sends."""

import msgspec

from runtime.database import PooledConnection
from schemas.commands import Command

# Held until the command is in: a VEN is not deleted, disabled or sent the same event in between.
LOCK_VEN = "SELECT status FROM vens WHERE ven_id = $1 FOR NO KEY UPDATE"

HAS_LOAD = """
SELECT EXISTS (SELECT FROM ven_status, jsonb_array_elements(loads) AS load
               WHERE ven_id = $1 AND jsonb_typeof(loads) = 'array' AND load ->> 'id' = $2)
"""

# `restore` ends whatever is active, and a device ends an event by itself: after either it may be sent again.
IS_SHEDDING = """
SELECT EXISTS (
    SELECT FROM commands AS sent
    WHERE sent.ven_id = $1 AND sent.op IN ('event', 'shedPanel') AND sent.event_id = $2
        AND sent.created_at + (sent.payload -> 'data' ->> 'duration_s')::float8 * interval '1 second' > now()
        AND NOT EXISTS (SELECT FROM commands AS ended WHERE ended.ven_id = $1 AND ended.op = 'restore'
                            AND ended.created_at > sent.created_at))
"""

INSERT = """
INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, created_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp())
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


async def insert_command(connection: PooledConnection, command: Command) -> None:
    """Hand a command to the dispatcher."""
    payload = msgspec.json.encode(command.payload).decode()
    await connection.execute(INSERT, command.correlation_id, command.ven_id, command.op, command.event_id, payload)
