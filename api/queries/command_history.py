"""The way of commands: every step, and what VENs said. What VENs said counts as soon as it is stored."""

from typing import Any

import asyncpg

from api.queries.acks import ACK, GOOD_WORDS
from runtime.database import Pool
from schemas.dr.command_state import Steps

STEP_COLUMNS = tuple(Steps.__dataclass_fields__)

# Where the acknowledgements of a command are looked for: days without any need not be.
_NEAR = """
a.time >= c.created_at - interval '7 days' AND a.time < GREATEST(c.ends_at, c.created_at) + interval '14 days'
"""
# The sink notes the first answer with the acknowledgement itself. But a device may refuse at first and then do it: a
# good answer counts, whenever it came. It is looked for only where the first was not good.
_ACK_STATUS = f"""
CASE WHEN c.ack_status IN ({GOOD_WORDS}) THEN c.ack_status
     WHEN c.acked_at IS NOT NULL THEN COALESCE(
         (SELECT a.status FROM ven_acks AS a
          WHERE a.correlation_id = c.correlation_id AND a.ven_id = c.ven_id AND a.status IN ({GOOD_WORDS}) AND {_NEAR}
          ORDER BY a.time LIMIT 1), c.ack_status) END AS ack_status
"""  # noqa: S608 - our own text
STEPS = ", ".join([*(f"c.{name}" for name in STEP_COLUMNS if name != "ack_status"), _ACK_STATUS])
_COMMAND = f"""
SELECT c.correlation_id, c.ven_id, c.op, c.event_id, c.phase, c.command_revision, c.attempt, c.payload, c.created_at,
       c.expires_at, c.ends_at, {STEPS}
FROM commands AS c
"""  # noqa: S608 - our own text

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


def steps_of(row: Any) -> Steps:
    """Make the steps of a command of its row."""
    return Steps(*(row[name] for name in STEP_COLUMNS))


async def fetch_command(pool: Pool, correlation_id: str) -> asyncpg.Record | None:
    """Return a command, or None."""
    return await pool.fetchrow(ONE, correlation_id)


async def fetch_acks_of_command(pool: Pool, correlation_id: str, limit: int) -> list[asyncpg.Record]:
    """Return the newest acknowledgements of a command, newest first: whether each was late, and how many there are."""
    return await pool.fetch(ACKS, correlation_id, limit)


async def fetch_commands_of_ven(pool: Pool, ven_id: str, *, cursor: str, limit: int) -> list[asyncpg.Record]:
    """Return the commands of a VEN, newest first, from the one after `cursor` on."""
    return await pool.fetch(OF_VEN, ven_id, cursor, limit)
