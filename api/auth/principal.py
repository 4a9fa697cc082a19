"""Who makes a request."""

import getpass
import time
from dataclasses import dataclass
from typing import Literal

from schemas.base.access_role import AccessRole


@dataclass(frozen=True, slots=True)
class Principal:
    """A client with an access role. All requests with one key, or one token subject, have the same `id`."""

    id: str
    name: str
    role: AccessRole
    by: Literal["key", "token", "open", "cli"]
    expires_at: float | None = None
    """Unix seconds; None is never."""
    digest: bytes | None = None
    """The digest of the API key."""

    @property
    def expired(self) -> bool:
        """Whether the key or token has expired."""
        return self.expires_at is not None and self.expires_at <= time.time()


ANONYMOUS = Principal("anybody", "anybody", AccessRole.ADMIN, "open")
"""Every client of an open API."""


def cli_principal() -> Principal:
    """Return the user of the command line, an administrator: the database's password permits everything."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container whose user has no name
    return Principal(f"cli:{user}", user, AccessRole.ADMIN, "cli")
