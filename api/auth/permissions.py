"""The role that each route needs. docs/reference/permissions.md has the same table, and a test compares all three.

It is asked before a body is read, by path, so it does not depend on how FastAPI finds its routes. A path that is not
here needs a role all the same: a route that somebody forgets is closed, not open.
"""

import re

from starlette.routing import compile_path

from schemas.base.access_role import AccessRole, highest

PUBLIC_PATHS = (
    "/",
    "/page/{path:path}",
    "/docs",
    "/docs/assets/{path:path}",
    "/openapi.json",
    "/health",
    "/health/live",
    "/health/ready",
    "/health/db-check",
)
"""What may be read without saying who asks: the page without its figures, the description, and health."""

METRICS_PATH = "/metrics"

_VIEWER, _OPERATOR, _ADMIN = AccessRole.VIEWER, AccessRole.OPERATOR, AccessRole.ADMIN

ROUTE_ROLES: dict[tuple[str, str], AccessRole] = {
    ("GET", METRICS_PATH): _VIEWER,
    ("GET", "/api/me"): _VIEWER,
    ("GET", "/api/audit"): _ADMIN,
    ("GET", "/api/stats/network"): _VIEWER,
    ("GET", "/api/stats/network/history"): _VIEWER,
    ("GET", "/api/stats/loads"): _VIEWER,
    ("GET", "/api/stats/pipeline"): _VIEWER,
    ("GET", "/api/feed"): _VIEWER,
    ("GET", "/api/vens"): _VIEWER,
    ("POST", "/api/vens"): _OPERATOR,
    ("GET", "/api/vens/summary"): _VIEWER,
    ("GET", "/api/vens/{ven_id}"): _VIEWER,
    ("PATCH", "/api/vens/{ven_id}"): _OPERATOR,
    ("DELETE", "/api/vens/{ven_id}"): _ADMIN,  # erases its history
    ("GET", "/api/vens/{ven_id}/loads"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/loads/{load_id}"): _VIEWER,
    ("PATCH", "/api/vens/{ven_id}/loads/{load_id}"): _OPERATOR,
    ("POST", "/api/vens/{ven_id}/loads/{load_id}/commands/shed"): _OPERATOR,
    ("POST", "/api/vens/{ven_id}/send-event"): _OPERATOR,
    ("POST", "/api/vens/{ven_id}/commands"): _OPERATOR,
    ("GET", "/api/vens/{ven_id}/commands"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/history"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/loads/{load_id}/history"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/circuits/history"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/telemetry"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/acks"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/events"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/faults"): _VIEWER,
    ("GET", "/api/vens/{ven_id}/shadow"): _VIEWER,
    ("GET", "/api/commands/{correlation_id:path}"): _VIEWER,
    ("GET", "/api/events"): _VIEWER,
    ("POST", "/api/events"): _OPERATOR,
    ("GET", "/api/events/current"): _VIEWER,
    ("GET", "/api/events/history"): _VIEWER,
    ("GET", "/api/events/{event_id}"): _VIEWER,
    ("DELETE", "/api/events/{event_id}"): _ADMIN,  # takes it out of sight for ever
    ("GET", "/api/events/{event_id}/metrics"): _VIEWER,
    ("GET", "/api/events/{event_id}/acks"): _VIEWER,
    ("GET", "/api/events/{event_id}/circuits"): _VIEWER,
    ("POST", "/api/events/{event_id}/stop"): _OPERATOR,
    ("GET", "/api/notices"): _VIEWER,
    ("GET", "/api/dead-letters"): _VIEWER,
    ("GET", "/api/dead-letters/{dead_letter_id}"): _VIEWER,
    ("POST", "/api/dead-letters/replay"): _OPERATOR,
    ("POST", "/api/dead-letters/{dead_letter_id}/replay"): _OPERATOR,
}

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class RoutePermissions:
    """Says what a request needs."""

    def __init__(self, *, metrics_open: bool) -> None:
        self._open = [_pattern(path) for path in (*PUBLIC_PATHS, *([METRICS_PATH] if metrics_open else []))]
        self._needed: dict[str, list[tuple[re.Pattern[str], AccessRole]]] = {}
        for (method, path), role in ROUTE_ROLES.items():
            self._needed.setdefault(method, []).append((_pattern(path), role))

    def required_role(self, method: str, path: str) -> AccessRole | None:
        """Return the role; None where nobody has to say who they are."""
        reads = method in SAFE_METHODS
        if reads and any(pattern.match(path) for pattern in self._open):
            return None
        # Where several match, whichever of them the app takes: no less than it needs.
        candidates = self._needed.get("GET" if reads else method, [])
        found = highest([role for pattern, role in candidates if pattern.match(path)])
        return found or (AccessRole.VIEWER if reads else AccessRole.ADMIN)


def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]
