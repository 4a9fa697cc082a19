"""Responses that are stored for 24 hours by path and Idempotency-Key."""

import asyncpg

from runtime.database import PooledConnection

# A second request with the same key waits here until the first one commits, and then finds its response. If the first
# one fails, its row is rolled back and the second one claims the key. After 24 hours a key is free again.
CLAIM = """
INSERT INTO idempotency_keys AS known (path, key, digest) VALUES ($1, $2, $3)
ON CONFLICT (path, key) DO UPDATE SET digest = excluded.digest, created_at = excluded.created_at
    WHERE known.created_at < now() - interval '24 hours'
RETURNING true
"""
READ = "SELECT digest, status, body, location FROM idempotency_keys WHERE path = $1 AND key = $2"
STORE = "UPDATE idempotency_keys SET status = $3, body = $4, location = $5 WHERE path = $1 AND key = $2"
# Each new key deletes a few old ones, without waiting for locks.
DELETE_EXPIRED = """
DELETE FROM idempotency_keys WHERE (path, key) IN (
    SELECT path, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED)
"""


async def claim_key(connection: PooledConnection, path: str, key: str, digest: str) -> asyncpg.Record | None:
    """Claim a key for this transaction; if it is taken, return the stored digest and response."""
    if await connection.fetchval(CLAIM, path, key, digest):
        return None
    return await connection.fetchrow(READ, path, key)


async def store_response(
    connection: PooledConnection, path: str, key: str, status: int, body: str, location: str | None
) -> None:
    """Store the response to the key that this transaction claimed, and delete some expired keys."""
    await connection.execute(STORE, path, key, status, body, location)
    await connection.execute(DELETE_EXPIRED)
