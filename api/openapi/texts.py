"""Texts of the OpenAPI description that do not belong to one route or model."""

from typing import Any

TAGS = {
    "access": "The client's own access role, and the audit.",
    "health": "For supervisors and load balancers.",
    "stats": "Live totals and the history of the whole network.",
    "feed": "The live feed of changes.",
    "vens": "The registry of VENs (Virtual End Nodes, one for each home), with their latest values.",
    "loads": "The loads of a VEN.",
    "commands": "Commands to VENs. A 202 means that a command was accepted; it is sent over MQTT soon after.",
    "history": "Time series: the mean power in buckets of time.",
    "events": "DR events: reduce N kW from start to end.",
    "acks": "What VENs answered to commands and events.",
    "notices": "VTN messages: events of another VTN and the responses, stored for the record.",
    "dead letters": "Records that could not be processed: the reason, correction and replay.",
}
DESCRIPTION = """\
Power is in kW, energy in kWh. Times are ISO 8601 in UTC. A path may end with a slash. Every error is a problem
document (RFC 9457). See also `docs/reference/backend-api.md`.

`x-role` is the access role that a call requires: viewer, operator or admin, of an API key or a token. On loopback the
API may be open without authentication. See `docs/explanation/security.md`.
"""
SECURITY_SCHEMES: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, created by `gateway keys create`.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the OIDC issuer in `API_OIDC_ISSUER`.",
    },
}
