"""API keys: found by their digest, made, listed, revoked."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg

from runtime.database import Connection, Pool, PooledConnection

_HOLDS = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
FIND = f"SELECT key_id, name, role, expires_at FROM api_keys WHERE digest = $1 AND {_HOLDS}"  # noqa: S608 - our own words
HOLDING = f"SELECT digest FROM api_keys WHERE digest = ANY ($1::bytea[]) AND {_HOLDS}"  # noqa: S608
ANY_ACTIVE = f"SELECT EXISTS (SELECT FROM api_keys WHERE {_HOLDS})"  # noqa: S608
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
    """Return the key of this digest while it holds."""
    return await pool.fetchrow(FIND, digest)


async def fetch_valid_digests(pool: Pool, digests: Iterable[bytes]) -> set[bytes]:
    """Return those of the digests whose keys hold, by one question for all of them."""
    return {row["digest"] for row in await pool.fetch(HOLDING, list(digests))}


async def valid_key_exists(connection: Connection) -> bool:
    """Say whether there is a key that holds."""
    return bool(await connection.fetchval(ANY_ACTIVE))


async def insert_key(
    connection: PooledConnection, key_id: str, digest: bytes, name: str, role: str, expires_at: datetime | None
) -> None:
    """Keep a new key."""
    await connection.execute(INSERT, key_id, digest, name, role, expires_at)


async def fetch_keys(pool: Pool) -> list[asyncpg.Record]:
    """Return all keys, the oldest first."""
    return await pool.fetch(LIST)


async def revoke_key(connection: PooledConnection, key_id: str) -> str | None:
    """Revoke a key and return its name; None where there is none that could be."""
    name: str | None = await connection.fetchval(REVOKE, key_id)
    return name
