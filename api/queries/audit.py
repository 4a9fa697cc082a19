"""The record of who did what."""

from typing import Any

import asyncpg

from api.http.time_range import TimeBounds
from runtime.database import Pool, PooledConnection

INSERT = """
INSERT INTO audit (who, name, by, role, method, path, outcome, status, result, request_id, address)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
PAGE = """
SELECT id, at, who, name, by, role, method, path, outcome, status, result, request_id, address FROM audit
WHERE ($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR who = $2)
    AND ($3::timestamptz IS NULL OR at >= $3) AND ($4::timestamptz IS NULL OR at < $4)
ORDER BY id DESC LIMIT $5
"""


async def insert_entry(connection: Pool | PooledConnection, *values: Any) -> None:
    """Keep an entry; the values are those of the columns, in the order of INSERT."""
    await connection.execute(INSERT, *values)


async def fetch_entries(
    pool: Pool, *, before: int | None, who: str | None, interval: TimeBounds, limit: int
) -> list[asyncpg.Record]:
    """Return entries, newest first, of before an id."""
    return await pool.fetch(PAGE, before, who, interval.start, interval.end, limit)
