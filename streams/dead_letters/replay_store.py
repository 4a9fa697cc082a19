"""Replays in the table `dead_letters`: what is sent, and the outcome."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState, ReplayOf
from streams.outbox.store import Reference

# Dead letters that were dropped with their day are missing here: they can no longer be replayed.
REPLAYS = """
SELECT d.id, d.time, d.replays, d.source_topic, d.key, d.headers, COALESCE(d.corrected_payload, d.payload) AS payload
FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS queued(id, time, number)
JOIN dead_letters AS d USING (id, time)
ORDER BY queued.number
"""

SENT = """
UPDATE dead_letters AS d SET state = 'sent', state_at = now(), state_detail = NULL
FROM unnest($1::text[], $2::timestamptz[], $3::integer[]) AS sent(id, time, attempt)
WHERE d.id = sent.id AND d.time = sent.time AND d.replays = sent.attempt AND d.state = 'requested'
"""

OUTCOME = """
UPDATE dead_letters SET state = $4, state_at = now(), state_detail = NULL
WHERE id = $1 AND time = $2 AND replays = $3 AND state IN ('requested', 'sent')
"""

REJECTED = """
UPDATE dead_letters SET state = 'rejected', state_at = now(), state_detail = $4
WHERE id = $1 AND time = $2 AND replays = $3
"""

EXISTS = "SELECT EXISTS (SELECT FROM dead_letters WHERE id = $1 AND time = $2)"


async def fetch_replays(connection: Connection, references: Sequence[Reference]) -> list[asyncpg.Record]:
    """Return the dead letters to replay, in the order in which their replay was requested."""
    keys, times = [reference.key for reference in references], [reference.time for reference in references]
    return await connection.fetch(REPLAYS, keys, times)


async def mark_sent(connection: Connection, replays: Sequence[ReplayOf]) -> None:
    """Set the state `sent`, unless there is an outcome already, or a newer request."""
    ids, times, attempts = (list(column) for column in zip(*replays, strict=True)) if replays else ([], [], [])
    await connection.execute(SENT, ids, times, attempts)


async def mark_rejected(connection: Connection, replay: ReplayOf, reason: str) -> bool:
    """Set the state `rejected` after a replay was rejected again; return whether the dead letter still exists."""
    await connection.execute(REJECTED, *replay, reason)
    return bool(await connection.fetchval(EXISTS, replay.dead_letter_id, replay.dead_letter_time))


async def record_outcome(connection: Connection, replay: ReplayOf, tables: Sequence[str], record: Any) -> None:
    """Set the state `stored` if this transaction inserted a row of the replayed record, else `already_stored`.

    Without `tables`, the record has no row of its own and counts as stored.
    """
    stored = not tables
    for table in tables:
        stored = stored or await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {table} WHERE ven_id = $1 AND time = $2"  # noqa: S608 - tables are constants of this code
            " AND xmin = pg_current_xact_id()::xid)",
            record.ven_id,
            record.timestamp,
        )
    await connection.execute(OUTCOME, *replay, DeadLetterState.STORED if stored else DeadLetterState.ALREADY_STORED)
