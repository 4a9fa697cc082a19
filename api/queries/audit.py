"""The audit: who changed what."""

from datetime import datetime
from typing import Any

import asyncpg

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
    """Store an entry; the values are in the column order of INSERT."""
    await connection.execute(INSERT, *values)


async def fetch_entries(
    pool: Pool, *, before: int | None, who: str | None, bounds: tuple[datetime | None, datetime | None], limit: int
) -> list[asyncpg.Record]:
    """Return the entries in [start, end) with an id below `before`, the newest first."""
    return await pool.fetch(PAGE, before, who, *bounds, limit)
