"""Who may do what: three roles, each of which may all that the one before may."""

from enum import StrEnum


class AccessRole(StrEnum):
    """From the least to the most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "AccessRole") -> bool:
        """Say whether this role may all that the other may."""
        return _ORDER[self] >= _ORDER[other]


_ORDER = {role: place for place, role in enumerate(AccessRole)}


def highest(roles: "list[AccessRole]") -> AccessRole | None:
    """Return the one that may most; None where there is none."""
    return max(roles, key=_ORDER.__getitem__, default=None)
