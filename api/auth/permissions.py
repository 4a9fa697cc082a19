"""The access role that each route requires. A test compares it with docs/reference/permissions.md and OpenAPI.

The role is found by the path before a body is read, independently of FastAPI's routing. A path that is not listed
requires a role too, so that a forgotten route is closed, not open.
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
"""What may be read without authentication: the page without its data, the API description, and health."""

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
    ("DELETE", "/api/vens/{ven_id}/telemetry"): _OPERATOR,
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
    """Finds the access role that a request requires."""

    def __init__(self, *, metrics_open: bool) -> None:
        self._public = [_pattern(path) for path in (*PUBLIC_PATHS, *([METRICS_PATH] if metrics_open else []))]
        self._roles: dict[str, list[tuple[re.Pattern[str], AccessRole]]] = {}
        for (method, path), role in ROUTE_ROLES.items():
            self._roles.setdefault(method, []).append((_pattern(path), role))

    def required_role(self, method: str, path: str) -> AccessRole | None:
        """Return the role; None if the path is public."""
        reads = method in SAFE_METHODS
        if reads and any(pattern.match(path) for pattern in self._public):
            return None
        # Several patterns may match. The highest role is sufficient for whichever route FastAPI selects.
        candidates = self._roles.get("GET" if reads else method, [])
        found = highest([role for pattern, role in candidates if pattern.match(path)])
        return found or (AccessRole.VIEWER if reads else AccessRole.ADMIN)


def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]
