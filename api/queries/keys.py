"""API keys: look up by digest, insert, list, revoke. The view `valid_api_keys` has those that are valid now."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg

from runtime.database import Connection, Pool, PooledConnection

FIND = "SELECT key_id, name, role, expires_at FROM valid_api_keys WHERE digest = $1"
VALID = "SELECT digest FROM valid_api_keys WHERE digest = ANY ($1::bytea[])"
VALID_EXISTS = "SELECT EXISTS (SELECT FROM valid_api_keys)"
INSERT = """
INSERT INTO api_keys (key_id, digest, name, role, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
LIST = """
SELECT key_id, name, role, created_at, expires_at, revoked_at,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired'
            ELSE 'active' END AS state
FROM api_keys ORDER BY created_at, key_id
"""
REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL RETURNING name"


async def fetch_key(pool: Pool, digest: bytes) -> asyncpg.Record | None:
    """Return the valid key with this digest, or None."""
    return await pool.fetchrow(FIND, digest)


async def fetch_valid_digests(pool: Pool, digests: Iterable[bytes]) -> set[bytes]:
    """Return those of the digests whose keys are valid."""
    return {row["digest"] for row in await pool.fetch(VALID, list(digests))}


async def valid_key_exists(connection: Connection) -> bool:
    """Return whether any key is valid."""
    return bool(await connection.fetchval(VALID_EXISTS))


async def insert_key(
    connection: PooledConnection, key_id: str, digest: bytes, name: str, role: str, expires_at: datetime | None
) -> None:
    """Store a new key."""
    await connection.execute(INSERT, key_id, digest, name, role, expires_at)


async def fetch_keys(pool: Pool) -> list[asyncpg.Record]:
    """Return all keys, the oldest first."""
    return await pool.fetch(LIST)


async def revoke_key(connection: PooledConnection, key_id: str) -> str | None:
    """Revoke a key and return its name; None if there is no such key, or if it was revoked before."""
    name: str | None = await connection.fetchval(REVOKE, key_id)
    return name
