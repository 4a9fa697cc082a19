"""Errors as RFC 9457 problem documents."""

from pydantic import Field

from schemas.rest.model import RestModel, example

_ERROR = {"location": "body.shedKw", "message": "Input should be greater than 0"}


class FieldError(RestModel):
    """One thing that is wrong in a request; `location` names the field, dot by dot."""

    model_config = example(_ERROR)

    location: str
    message: str


class Problem(RestModel):
    """The body of every error answer, as application/problem+json."""

    model_config = example(
        {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "the request is not valid",
            "instance": "/api/vens/ven-001/send-event",
            "errors": [_ERROR],
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = Field(None, description="One entry a field; with 422 only.")
