"""Deletes a VEN: its registry row and latest values at once, its history in pieces, for it may be millions of rows."""

from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
from sqlalchemy import DateTime, Table, Text, bindparam, delete, func, select, text

from api.queries.compiled import compile_sql
from runtime.database import Pool, PooledConnection
from schemas.tables import metadata

_PIECE = timedelta(hours=6)


class HistoryStatements(NamedTuple):
    """The statements for one table of history; their parameters are in the order of the fields' comments."""

    oldest: str  # VEN, before
    delete_piece: str  # VEN, begin, before
    delete_since: str  # VEN, since


def _history_statements(table: Table) -> HistoryStatements:
    ven_id, time = table.c.ven_id, table.c.time
    ven = ven_id == bindparam("ven", type_=Text)
    begin, before = (bindparam(name, type_=DateTime(timezone=True)) for name in ("begin", "before"))
    end = func.least(before, begin + text(f"interval '{_PIECE.total_seconds():.0f} seconds'"))
    return HistoryStatements(
        compile_sql(select(func.min(time)).where(ven, time < before)).sql,
        compile_sql(delete(table).where(ven, time >= begin, time < end)).sql,
        compile_sql(delete(table).where(ven, time >= before)).sql,
    )


# Tables partitioned by day, of what VENs sent.
HISTORY = {
    name: _history_statements(metadata.tables[name])
    for name in (
        "ven_acks",
        "ven_faults",
        "telemetry_readings",
        "telemetry_minutes",
        "telemetry_hours",
        "load_snapshots",
        "telemetry_loads",
    )
}

# The current state of a VEN. `ven_status` comes before `vens`, as in the sink, so that two transactions do not wait for
# each other.
LATEST = {
    "ven_status": "DELETE FROM ven_status WHERE ven_id = $1",
    "ven_shadows": "DELETE FROM ven_shadows WHERE ven_id = $1",
    "rollup_late": "DELETE FROM rollup_late WHERE ven_id = $1",
    "vens": "DELETE FROM vens WHERE ven_id = $1",
}

# Tables whose rows are deleted when they are not retained any more (see the views `retained_…`). Rows that were added
# while the VEN is not registered, such as its restore, belong to the deleted VEN too.
RETAINING = {
    "commands": """
        DELETE FROM commands AS c WHERE c.ven_id = $1
            AND (c.created_at < $2 OR NOT EXISTS (SELECT FROM vens WHERE vens.ven_id = $1))
            AND NOT EXISTS (SELECT FROM retained_commands AS r
                            WHERE r.ven_id = $1 AND r.correlation_id = c.correlation_id)
    """,
    "event_vens": """
        DELETE FROM event_vens AS v WHERE v.ven_id = $1
            AND (v.decided_at < $2 OR NOT EXISTS (SELECT FROM vens WHERE vens.ven_id = $1))
            AND NOT EXISTS (SELECT FROM retained_event_vens AS r WHERE r.ven_id = $1 AND r.event_id = v.event_id)
    """,
}

KEPT = ("dead_letters", "notices")
"""The gateway's own record of messages; only age removes its rows."""

PENDING_WORK = ("ven_removals",)
"""What is still to be done for deleted VENs."""

LOCK_VEN = "SELECT FROM vens WHERE ven_id = $1 FOR UPDATE"
ADD_PENDING = """
INSERT INTO ven_removals (ven_id, removed_at) VALUES ($1, clock_timestamp())
ON CONFLICT (ven_id) DO UPDATE SET removed_at = excluded.removed_at
RETURNING removed_at
"""
# VENs that wait for the end of an event come last, so that they do not delay the others.
PENDING = """
SELECT ven_id, removed_at FROM ven_removals AS pending
ORDER BY EXISTS (SELECT FROM retained_commands AS r WHERE r.ven_id = pending.ven_id)
         OR EXISTS (SELECT FROM retained_event_vens AS r WHERE r.ven_id = pending.ven_id),
         removed_at
LIMIT 100
"""
FINISH = """
DELETE FROM ven_removals WHERE ven_id = $1 AND removed_at = $2
    AND NOT EXISTS (SELECT FROM retained_commands AS r WHERE r.ven_id = $1)
    AND NOT EXISTS (SELECT FROM retained_event_vens AS r WHERE r.ven_id = $1)
"""


async def remove_ven(connection: PooledConnection, ven_id: str) -> datetime | None:
    """Delete a VEN from the registry and mark its history from before the returned time for erasure.

    Needs a transaction. Returns None if there is no such VEN.
    """
    if await connection.fetchrow(LOCK_VEN, ven_id) is None:
        return None
    removed_at: datetime = await connection.fetchval(ADD_PENDING, ven_id)
    for statement in RETAINING.values():
        await connection.execute(statement, ven_id, removed_at)
    for statement in LATEST.values():
        await connection.execute(statement, ven_id)
    # Rows of a VEN whose clock is ahead: later they could not be told from those of a new VEN with this id.
    for table in HISTORY.values():
        await connection.execute(table.delete_since, ven_id, removed_at)
    return removed_at


async def erase_piece(pool: Pool, table: str, ven_id: str, removed_at: datetime) -> bool:
    """Delete some hours of a VEN's rows in a table, the oldest first; return False if there are no more.

    Each piece is a short transaction that locks only rows of this VEN.
    """
    statements = HISTORY[table]
    async with pool.acquire() as connection:
        begin: datetime | None = await connection.fetchval(statements.oldest, ven_id, removed_at)
        if begin is None:
            return False
        await connection.execute(statements.delete_piece, ven_id, begin, removed_at)
    return True


async def erase_no_longer_retained(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Delete a VEN's commands and shares of events that were closed since."""
    async with pool.acquire() as connection, connection.transaction():
        for statement in RETAINING.values():
            await connection.execute(statement, ven_id, removed_at)


async def fetch_pending(pool: Pool) -> list[asyncpg.Record]:
    """Return the VENs whose history is to be erased, the oldest deletions first."""
    return await pool.fetch(PENDING)


async def finish_erasure(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """End an erasure, unless the VEN was deleted once more since, or rows of an open event are retained."""
    await pool.execute(FINISH, ven_id, removed_at)
