"""The error responses in the OpenAPI description.

Most of them follow from what a route takes, so they are defined here once. A route declares only its own 409.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic.json_schema import models_json_schema

from schemas.rest.problems import FieldError, Problem


class _ErrorResponse(NamedTuple):
    component: str
    description: str
    title: str | None
    detail: str | None


_ERRORS = {
    "400": _ErrorResponse("BadRequest", "The body is not JSON.", "Bad Request", "There was an error parsing the body"),
    "401": _ErrorResponse(
        "Unauthorized",
        "The key or token is missing or not valid; `WWW-Authenticate` says which.",
        "Unauthorized",
        "the token has expired",
    ),
    "403": _ErrorResponse(
        "Forbidden",
        "The access role of the key or token does not permit this.",
        "Forbidden",
        "this needs the role operator, and wallboard is viewer",
    ),
    "404": _ErrorResponse("NotFound", "Nothing has this id.", "Not Found", "there is no VEN ven-999"),
    "413": _ErrorResponse(
        "ContentTooLarge",
        "The body is larger than `API_MAX_BODY_BYTES`.",
        "Content Too Large",
        "the body has more than 1048576 bytes (API_MAX_BODY_BYTES)",
    ),
    "415": _ErrorResponse(
        "UnsupportedMediaType",
        "The body is not declared to be JSON.",
        "Unsupported Media Type",
        "the body is text/plain; send JSON with Content-Type: application/json",
    ),
    "422": _ErrorResponse("Unprocessable", "The request is not valid; `errors` names what is wrong.", None, None),
    "429": _ErrorResponse(
        "TooManyRequests",
        "Too many requests with one key or token, or from one address; `Retry-After` says when to try again.",
        "Too Many Requests",
        "too many requests; send fewer (API_RATE_PER_SECOND)",
    ),
    "503": _ErrorResponse(
        "Unavailable",
        "A server that the response needs is down or too slow; `Retry-After` says when to try again.",
        "Service Unavailable",
        "the database does not answer; try again later",
    ),
}


def response_components() -> dict[str, Any]:
    """Return the shared error responses by name."""
    components = {
        error.component: _problem_response(error.description, int(code), error.title, error.detail)
        for code, error in _ERRORS.items()
    }
    for name in ("Unavailable", "TooManyRequests"):
        components[name]["headers"] = {"Retry-After": header("Seconds.", "integer")}
    components["Unauthorized"]["headers"] = {"WWW-Authenticate": header("What is missing or not valid.")}
    return components


def add_error_responses(path: str, operation: dict[str, Any]) -> None:
    """Add the errors that the operation can return to its responses."""
    responses = operation["responses"]
    for code in _error_codes(path, operation):
        responses[code] = {"$ref": f"#/components/responses/{_ERRORS[code].component}"}
    if "409" in responses:
        description = responses["409"]["description"]
        responses["409"] = _problem_response(description, 409, "Conflict", "there is already a VEN ven-001")


def problem_schemas() -> dict[str, Any]:
    """Return the JSON schemas of problem documents."""
    models = [(model, "serialization") for model in (FieldError, Problem)]
    _, document = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def header(description: str, kind: str = "string") -> dict[str, Any]:
    """Return the description of a response header."""
    return {"description": description, "schema": {"type": kind}}


def _error_codes(path: str, operation: dict[str, Any]) -> Iterator[str]:
    if "x-role" in operation:
        yield from ("401", "403")
    yield "429"
    if "requestBody" in operation:
        yield from ("400", "413", "415")
    if "requestBody" in operation or operation.get("parameters"):
        yield "422"
    if "{" in path:
        yield "404"
    # /health/ready has a 503 with a body of its own.
    if "503" not in operation["responses"]:
        yield "503"


def _problem_response(description: str, status: int, title: str | None, detail: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if title is not None:
        content["example"] = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": "/api/vens",
        }
    return {"description": description, "content": {"application/problem+json": content}}
