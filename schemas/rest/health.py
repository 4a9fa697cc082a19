"""Answers of the health checks."""

from schemas.rest.model import RestModel


class Health(RestModel):
    """`checks` names what was looked at, and whether it answers."""

    status: str
    checks: dict[str, bool] | None = None
