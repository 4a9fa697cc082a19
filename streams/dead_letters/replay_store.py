"""Dead letters on their way back: what was requested, and what became of it."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState, ReplayOf

REQUESTED = """
SELECT r.letter_id, r.letter_time, r.attempt, d.source_topic, d.key, d.headers,
       COALESCE(d.corrected_payload, d.payload) AS payload
FROM replay_requests AS r JOIN dead_letters AS d ON d.id = r.letter_id AND d.time = r.letter_time
ORDER BY r.requested_at
LIMIT $1
"""

# Letters that were dropped with their day can be replayed no longer.
FORGET = """
DELETE FROM replay_requests AS r
WHERE NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.id = r.letter_id AND d.time = r.letter_time)
"""

SENT = """
WITH sent AS (
    DELETE FROM replay_requests USING unnest($1::text[], $2::integer[]) AS s(letter_id, attempt)
    WHERE replay_requests.letter_id = s.letter_id AND replay_requests.attempt = s.attempt
    RETURNING replay_requests.letter_id, letter_time, replay_requests.attempt
)
UPDATE dead_letters AS d SET state = 'sent', state_at = now(), state_detail = NULL
FROM sent
WHERE d.id = sent.letter_id AND d.time = sent.letter_time AND d.replays = sent.attempt AND d.state = 'requested'
"""

OUTCOME = """
UPDATE dead_letters SET state = $4, state_at = now(), state_detail = NULL
WHERE id = $1 AND time = $2 AND replays = $3 AND state IN ('requested', 'sent')
"""

REFUSED = """
UPDATE dead_letters SET state = 'rejected', state_at = now(), state_detail = $4
WHERE id = $1 AND time = $2 AND replays = $3
"""

EXISTS = "SELECT EXISTS (SELECT FROM dead_letters WHERE id = $1 AND time = $2)"


async def forget_gone(connection: Connection) -> None:
    """Drop the requests whose letters are gone."""
    await connection.execute(FORGET)


async def requested(connection: Connection, most: int) -> list[asyncpg.Record]:
    """Return letters that are to be replayed, the first requested first."""
    return await connection.fetch(REQUESTED, most)


async def note_sent(connection: Connection, replays: Sequence[ReplayOf]) -> None:
    """Note that letters are back in their topics."""
    await connection.execute(SENT, [replay.letter_id for replay in replays], [replay.attempt for replay in replays])


async def note_refused(connection: Connection, replay: ReplayOf, because: str) -> bool:
    """Note that a replay does not count either, and why; returns whether there is such a letter."""
    await connection.execute(REFUSED, *replay, because)
    return bool(await connection.fetchval(EXISTS, replay.letter_id, replay.letter_time))


async def note_outcome(connection: Connection, replay: ReplayOf, tables: Sequence[str], record: Any) -> None:
    """Note whether this very transaction stored rows of a replayed record, or all were there before.

    Of records that are not kept as rows of their own, the replay is what was taken in.
    """
    stored = not tables
    for table in tables:
        stored = stored or await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {table} WHERE ven_id = $1 AND time = $2"  # noqa: S608 - names of our own tables
            " AND xmin = pg_current_xact_id()::xid)",
            record.ven_id,
            record.timestamp,
        )
    await connection.execute(OUTCOME, *replay, DeadLetterState.STORED if stored else DeadLetterState.ALREADY_STORED)
