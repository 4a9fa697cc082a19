"""The principal of a request, and the audit."""

from datetime import datetime

from schemas.base.access_role import AccessRole
from schemas.rest.model import RestModel, example


class Me(RestModel):
    """The principal of the request; `by` is key, token, or open if no login is required."""

    model_config = example(
        {"id": "key-1f0c9a3b", "name": "control room", "role": "operator", "by": "key", "expiresAt": None}
    )

    id: str
    name: str
    role: AccessRole
    by: str
    expires_at: datetime | None


class AuditEntry(RestModel):
    """One audited action, done or refused.

    `outcome` is done, repeated (its answer was given again, by its Idempotency-Key), failed or denied; `status` is that
    of the answer where nothing was done. `result` is what came of it: the id of an event, a command or a key, or those
    of dead letters. `by` is key, token, cli or open.
    """

    model_config = example(
        {
            "id": 17,
            "at": "2025-10-23T15:12:09.337000Z",
            "who": "key-1f0c9a3b",
            "name": "control room",
            "by": "key",
            "role": "operator",
            "method": "POST",
            "path": "/api/events",
            "outcome": "done",
            "status": None,
            "result": "evt-1f0c9a3b",
            "requestId": "5f0c8a1be0d29a47",
            "address": "192.0.2.7",
        }
    )

    id: int
    at: datetime
    who: str
    name: str
    by: str
    role: str
    method: str
    path: str
    outcome: str
    status: int | None
    result: str | None
    request_id: str | None
    address: str | None
