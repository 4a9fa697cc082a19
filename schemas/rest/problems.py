"""Errors as RFC 9457 problem documents."""

from pydantic import Field

from schemas.rest.model import RestModel


class FieldError(RestModel):
    """One thing that is wrong in a request; `location` names the field, dot by dot."""

    location: str
    message: str


class Problem(RestModel):
    """The body of every error answer, as application/problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = Field(None, description="One entry a field; with 422 only.")
