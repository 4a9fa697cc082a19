"""Commands with every step, and their acks."""

import asyncpg

from api.queries.acks import ACK
from runtime.database import Pool

# Where the acks of a command are looked for: days without any are not read.
_NEAR = """
a.time >= c.created_at - interval '7 days' AND a.time < GREATEST(c.ends_at, c.created_at) + interval '14 days'
"""
_COMMAND = """
SELECT c.correlation_id, c.ven_id, c.op, c.event_id, c.phase, c.command_revision, c.attempt, c.payload, c.created_at,
       c.expires_at, c.ends_at, c.logged_at, c.sending_at, c.sent_at, c.expired_at, c.acked_at, c.ack_status,
       c.unanswered_at, c.reported_at, c.shed_at, c.lost_at, command_state(c) AS state
FROM commands AS c
"""

ONE = _COMMAND + "WHERE c.correlation_id = $1"
# A cursor is the id of a command.
OF_VEN = f"""
{_COMMAND} WHERE c.ven_id = $1
    AND ($2 = '' OR (c.created_at, c.seq) < (SELECT created_at, seq FROM commands
                                             WHERE correlation_id = $2 AND ven_id = $1))
ORDER BY c.created_at DESC, c.seq DESC LIMIT $3
"""  # noqa: S608 - our own text
ACKS = f"""
{ACK}, COALESCE(a.received_at > c.unanswered_at, false) AS late, count(*) OVER () AS all_acks
FROM commands AS c JOIN ven_acks AS a USING (correlation_id, ven_id)
WHERE c.correlation_id = $1 AND {_NEAR}
ORDER BY a.received_at DESC, a.time DESC, a.op LIMIT $2
"""


async def fetch_command(pool: Pool, correlation_id: str) -> asyncpg.Record | None:
    """Return a command, or None."""
    return await pool.fetchrow(ONE, correlation_id)


async def fetch_acks_of_command(pool: Pool, correlation_id: str, limit: int) -> list[asyncpg.Record]:
    """Return the newest acknowledgements of a command, newest first: whether each was late, and how many there are."""
    return await pool.fetch(ACKS, correlation_id, limit)


async def fetch_commands_of_ven(pool: Pool, ven_id: str, *, cursor: str, limit: int) -> list[asyncpg.Record]:
    """Return the commands of a VEN, newest first, from the one after `cursor` on."""
    return await pool.fetch(OF_VEN, ven_id, cursor, limit)
