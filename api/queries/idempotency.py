"""Answers that are kept for a day, by the path and the Idempotency-Key of their request."""

import asyncpg

from runtime.database import PooledConnection

# Whoever comes second waits here until the first has committed, then finds its answer; when the first fails, its row
# goes with its transaction, and the second is the first. A key older than a day is as good as new.
CLAIM = """
INSERT INTO idempotency_keys AS known (path, key, digest) VALUES ($1, $2, $3)
ON CONFLICT (path, key) DO UPDATE SET digest = excluded.digest, created_at = excluded.created_at
    WHERE known.created_at < now() - interval '24 hours'
RETURNING true
"""
READ = "SELECT digest, status, body, location FROM idempotency_keys WHERE path = $1 AND key = $2"
KEEP = "UPDATE idempotency_keys SET status = $3, body = $4, location = $5 WHERE path = $1 AND key = $2"
# With each new key a few old ones go; nobody waits for anybody.
FORGET = """
DELETE FROM idempotency_keys WHERE (path, key) IN (
    SELECT path, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED)
"""


async def claim_key(connection: PooledConnection, path: str, key: str, digest: str) -> asyncpg.Record | None:
    """Take a key for this transaction; where it is taken, return the digest and the answer that are kept."""
    if await connection.fetchval(CLAIM, path, key, digest):
        return None
    return await connection.fetchrow(READ, path, key)


async def store_response(
    connection: PooledConnection, path: str, key: str, status: int, body: str, location: str | None
) -> None:
    """Keep an answer with the key that this transaction has taken, and forget some that are past keeping."""
    await connection.execute(KEEP, path, key, status, body, location)
    await connection.execute(FORGET)
