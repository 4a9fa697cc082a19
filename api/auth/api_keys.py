"""API keys: random secrets that identify a client.

A key has 256 random bits, so it can be neither guessed nor found in a dictionary. Its plain SHA-256 is therefore as
safe to store as a slow password hash, and takes a microsecond. A key is looked up by its digest in an index; the time
that takes reveals nothing, because nobody can choose the start of a digest.
"""

import time
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import NamedTuple

from api.auth.principal import Principal
from api.queries.keys import fetch_key
from runtime.database import Pool
from schemas.base.access_role import AccessRole

PREFIX = "gek_"
"""Begins every key, so that secret scanners find leaked ones and none is mistaken for a token."""
_BYTES = 32
_MAX_CACHED = 10_000


class NewApiKey(NamedTuple):
    """A new key. Its text exists only here; the database stores the digest."""

    key_id: str
    text: str
    digest: bytes


def new_key() -> NewApiKey:
    """Create a key."""
    text = f"{PREFIX}{token_urlsafe(_BYTES)}"
    return NewApiKey(f"key-{token_hex(4)}", text, digest_of(text))


def digest_of(text: str) -> bytes:
    """Return the digest that is stored for a key."""
    return sha256(text.encode()).digest()


class _CachedKey(NamedTuple):
    looked_up_at: float
    principal: Principal | None


class ApiKeyCache:
    """Looks keys up in the database and caches each result for `seconds`, the longest that a revoked key works."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._cached: dict[bytes, _CachedKey] = {}

    def was_valid(self, digest: bytes) -> bool:
        """Return whether the key was valid at the last look-up."""
        cached = self._cached.get(digest)
        return cached is not None and cached.principal is not None

    async def find(self, pool: Pool, digest: bytes) -> Principal | None:
        """Return the principal of a valid key, or None."""
        now = time.monotonic()
        cached = self._cached.get(digest)
        if cached is None or now - cached.looked_up_at >= self._seconds:
            cached = _CachedKey(now, await self._look_up(pool, digest))
            if len(self._cached) >= _MAX_CACHED:
                self._cached.clear()
            self._cached[digest] = cached
        return None if cached.principal is None or cached.principal.expired else cached.principal

    async def _look_up(self, pool: Pool, digest: bytes) -> Principal | None:
        row = await fetch_key(pool, digest)
        if row is None:
            return None
        expires_at = None if row["expires_at"] is None else row["expires_at"].timestamp()
        return Principal(row["key_id"], row["name"], AccessRole(row["role"]), "key", expires_at, digest)
