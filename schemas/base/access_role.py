"""The three access roles; each includes the permissions of the one before."""

from enum import StrEnum


class AccessRole(StrEnum):
    """Ordered from the fewest permissions to the most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "AccessRole") -> bool:
        """Return whether this role includes all permissions of the other."""
        return _ORDER[self] >= _ORDER[other]


_ORDER = {role: place for place, role in enumerate(AccessRole)}


def highest(roles: "list[AccessRole]") -> AccessRole | None:
    """Return the role with the most permissions; None for an empty list."""
    return max(roles, key=_ORDER.__getitem__, default=None)
