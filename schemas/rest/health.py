"""Answers of the health checks."""

from schemas.rest.model import RestModel, example


class Health(RestModel):
    """`checks` names what was looked at, and whether it answers; `warnings` are what somebody should mend soon."""

    model_config = example({"status": "ok", "checks": {"database": True, "totals": True}})

    status: str
    checks: dict[str, bool] | None = None
    warnings: list[str] | None = None
