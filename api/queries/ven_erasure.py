"""Removing a VEN: from the registry at once, and its history in pieces, for it may be millions of rows."""

from datetime import datetime

import asyncpg

from runtime.database import Pool, PooledConnection

HISTORY = (
    "ven_acks",
    "ven_faults",
    "telemetry_readings",
    "telemetry_minutes",
    "telemetry_hours",
    "load_snapshots",
    "telemetry_loads",
)
"""Tables of what VENs sent, by day."""

KEPT = ("dead_letters", "notices")
"""The gateway's own record of messages, which leaves by age only."""

# What is under way for an event stays until the event is closed, and what an operator told the VEN to shed until that
# is over: one that registers itself again meanwhile would else be told twice, and shed twice. And until its restore is
# in the log, or it would shed on.
_UNDER_WAY = "EXISTS (SELECT FROM events WHERE events.event_id = {table}.event_id AND events.closed_at IS NULL)"
_STAYS = {
    "commands": f"""
        (phase IS NOT NULL AND (logged_at IS NULL OR {_UNDER_WAY.format(table="commands")})
         OR phase IS NULL AND op IN ('event', 'shedPanel') AND ends_at IS NOT NULL AND ends_at > now())
    """,
    "event_vens": _UNDER_WAY.format(table="event_vens"),
}
# As the sink does, status before registry: two transactions never wait for each other's rows crosswise.
LATEST = ("ven_status", "ven_shadows", "commands", "event_vens", "rollup_late", "minutes_corrected", "vens")

NOTED = ("ven_removals", "disabled_told")
"""What is still to be done about VENs that are gone: erased, and told to the log."""

NOTE = """
INSERT INTO ven_removals (ven_id, removed_at) VALUES ($1, clock_timestamp())
ON CONFLICT (ven_id) DO UPDATE SET removed_at = excluded.removed_at
RETURNING removed_at
"""
LOCK_VEN = "SELECT FROM vens WHERE ven_id = $1 FOR UPDATE"
_WAITS = " OR ".join(
    f"EXISTS (SELECT FROM {table} WHERE {table}.ven_id = ven_removals.ven_id AND {stays})"
    for table, stays in _STAYS.items()
)
# Those that only wait for the end of an event keep none of the others waiting.
PENDING = f"SELECT ven_id, removed_at FROM ven_removals ORDER BY ({_WAITS}), removed_at LIMIT 100"  # noqa: S608
DONE = f"DELETE FROM ven_removals WHERE ven_id = $1 AND removed_at = $2 AND NOT ({_WAITS})"  # noqa: S608
# What a VEN that is not back got since belongs to the removed one, too: its restore for example.
ERASE_LATER = [
    f"""
    DELETE FROM {table} WHERE ven_id = $1 AND NOT ({_STAYS[table]})
        AND ({since} < $2 OR NOT EXISTS (SELECT FROM vens WHERE vens.ven_id = $1))
    """  # noqa: S608 - our own names
    for table, since in (("commands", "created_at"), ("event_vens", "decided_at"))
]


def first(table: str) -> str:
    """Return the query of the time of a VEN's oldest row of before a time."""
    return f"SELECT min(time) FROM {table} WHERE ven_id = $1 AND time < $2"  # noqa: S608 - our own names


def piece(table: str) -> str:
    """Return the statement that erases a VEN's rows of some hours from $3 on, of before $2."""
    return f"""
        DELETE FROM {table} WHERE ven_id = $1 AND time >= $3 AND time < LEAST($2, $3 + interval '6 hours')
    """  # noqa: S608 - our own names


async def remove_ven(connection: PooledConnection, ven_id: str) -> datetime | None:
    """Take a VEN out of the registry and note that its history of before the returned time is to be erased.

    It has to be in a transaction. Returns None when there is no such VEN.
    """
    if await connection.fetchrow(LOCK_VEN, ven_id) is None:
        return None
    for table in LATEST:
        await connection.execute(
            f"DELETE FROM {table} WHERE ven_id = $1 AND NOT ({_STAYS.get(table, 'false')})",  # noqa: S608
            ven_id,
        )
    removed_at: datetime = await connection.fetchval(NOTE, ven_id)
    # What a clock ahead of ours has measured; it could not be told from what a VEN of this id sends later.
    for table in HISTORY:
        await connection.execute(
            f"DELETE FROM {table} WHERE ven_id = $1 AND time >= $2",  # noqa: S608 - our own names
            ven_id,
            removed_at,
        )
    return removed_at


async def erase_piece(pool: Pool, table: str, ven_id: str, removed_at: datetime) -> bool:
    """Erase some hours of a VEN's rows in a table; False when there are no more.

    Each piece is a short transaction that locks rows of this VEN only, and goes from the oldest on: where there is
    nothing, nothing is looked at.
    """
    async with pool.acquire() as connection:
        begin: datetime | None = await connection.fetchval(first(table), ven_id, removed_at)
        if begin is None:
            return False
        await connection.execute(piece(table), ven_id, removed_at, begin)
    return True


async def erase_what_is_over(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Erase a VEN's part in events that were closed since."""
    async with pool.acquire() as connection, connection.transaction():
        for statement in ERASE_LATER:
            await connection.execute(statement, ven_id, removed_at)


async def pending_removals(pool: Pool) -> list[asyncpg.Record]:
    """Return VENs whose history is to be erased, the oldest removals first."""
    return await pool.fetch(PENDING)


async def removal_done(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Forget a removal, unless the VEN was removed once more since, or is still part of an event under way."""
    await pool.execute(DONE, ven_id, removed_at)
