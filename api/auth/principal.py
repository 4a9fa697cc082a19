"""Who asks."""

import getpass
import time
from dataclasses import dataclass
from typing import Literal

from schemas.base.access_role import AccessRole


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with a role; `id` stays the same for all requests of one key or one subject of tokens."""

    id: str
    name: str
    role: AccessRole
    by: Literal["key", "token", "open", "cli"]
    expires_at: float | None = None
    """Unix seconds; None is never."""
    digest: bytes | None = None
    """Of the key, by which it is found again."""

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= time.time()


ANONYMOUS = Principal("anybody", "anybody", AccessRole.ADMIN, "open")
"""Where the API is open, nobody says who they are."""


def cli_principal() -> Principal:
    """Return who types a command; whoever has the database's password may do everything."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container whose user has no name
    return Principal(f"cli:{user}", user, AccessRole.ADMIN, "cli")
