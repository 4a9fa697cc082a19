"""API keys: random texts that say who asks.

A key has 256 random bits, so there is nothing to guess and no dictionary to try: its plain SHA-256 at rest is as safe
as a slow hash of it, which passwords need, and takes a microsecond. It is found by that digest, an index look-up;
how long the look-up takes tells nothing, for nobody can choose the beginning of a digest.
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
"""What every key begins with: scanners for leaked secrets find it, and nobody takes it for a token."""
_BYTES = 32
_MOST = 10_000


class NewApiKey(NamedTuple):
    """The only moment at which the key itself is there."""

    key_id: str
    text: str
    digest: bytes


def new_key() -> NewApiKey:
    """Make a key."""
    text = f"{PREFIX}{token_urlsafe(_BYTES)}"
    return NewApiKey(f"key-{token_hex(4)}", text, digest_of(text))


def digest_of(text: str) -> bytes:
    """Return what is kept of a key."""
    return sha256(text.encode()).digest()


class _Known(NamedTuple):
    looked_up: float
    who: Principal | None


class ApiKeyCache:
    """Finds keys in the database, and remembers each for `seconds`: so long a revoked one still holds, at most."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[bytes, _Known] = {}

    def was_valid(self, digest: bytes) -> bool:
        """Say whether it held when it was looked up last."""
        known = self._known.get(digest)
        return known is not None and known.who is not None

    async def find(self, pool: Pool, digest: bytes) -> Principal | None:
        """Return whose key it is; None where there is none that holds."""
        now = time.monotonic()
        known = self._known.get(digest)
        if known is None or now - known.looked_up >= self._seconds:
            known = _Known(now, await self._look_up(pool, digest))
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[digest] = known
        return None if known.who is None or known.who.expired else known.who

    async def _look_up(self, pool: Pool, digest: bytes) -> Principal | None:
        row = await fetch_key(pool, digest)
        if row is None:
            return None
        expires_at = None if row["expires_at"] is None else row["expires_at"].timestamp()
        return Principal(row["key_id"], row["name"], AccessRole(row["role"]), "key", expires_at, digest)
