"""The description of the API (OpenAPI 3.1), made of the routes and the models.

Which errors a route can give follows mostly from what it takes, so that is said here once; what only the route knows
(a 409) is said there.
"""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from api.auth.permissions import RoutePermissions
from schemas.rest.model import RestModel
from schemas.rest.problems import FieldError, Problem

PROBLEM = "application/problem+json"
JSON = "application/json"

TAGS = {
    "access": "Who asks, and who did what.",
    "health": "For supervisors and load balancers.",
    "stats": "Figures of the whole network.",
    "feed": "What changes, as it changes.",
    "vens": "The registry of VENs (Virtual End Nodes, one a home), with their latest values.",
    "loads": "The circuits of a VEN.",
    "commands": "Commands to VENs. They are taken in with 202, and sent over MQTT soon after.",
    "history": "Time series: power in buckets of time.",
    "events": "DR events: reduce so many kW from start to end.",
    "acks": "What VENs acknowledged.",
    "notices": "Messages that are kept for the record.",
    "dead letters": "Messages that did not count: why, and how to mend and replay them.",
}
DESCRIPTION = """\
Power is in kW, energy in kWh. Times are ISO 8601, in UTC. A path may end with a slash. Every error is a problem
document (RFC 9457). `docs/reference/backend-api.md` tells it in words.

`x-role` is the role that a call needs: viewer, operator or admin, of an API key or a token. On loopback the API may be
open to everybody. `docs/explanation/security.md` says more.
"""

_ANSWERS = {
    "400": ("BadRequest", "The body cannot be read at all.", "Bad Request", "There was an error parsing the body"),
    "401": (
        "Unauthorized",
        "No key and no token, or one that does not hold; `WWW-Authenticate` says which.",
        "Unauthorized",
        "the token has expired",
    ),
    "403": (
        "Forbidden",
        "The key or token has a lesser role than this needs.",
        "Forbidden",
        "this needs the role operator, and wallboard is viewer",
    ),
    "404": ("NotFound", "There is nothing of this id.", "Not Found", "there is no VEN ven-999"),
    "413": (
        "ContentTooLarge",
        "The body is larger than `API_MAX_BODY_BYTES`.",
        "Content Too Large",
        "a body has at most 1048576 bytes (API_MAX_BODY_BYTES)",
    ),
    "422": ("Unprocessable", "The request is not valid; `errors` names what is wrong.", None, None),
    "429": (
        "TooManyRequests",
        "Too many requests of one key, token or address; `Retry-After` says when to ask again.",
        "Too Many Requests",
        "too many requests; ask less often (API_RATE_PER_SECOND)",
    ),
    "503": (
        "Unavailable",
        "A server that the answer needs is down, or too slow; `Retry-After` says when to ask again.",
        "Service Unavailable",
        "the database does not answer; try again soon",
    ),
}
_SECURITY: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, made by `gateway keys create`.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the OIDC issuer that `API_OIDC_ISSUER` names.",
    },
}
_CONFLICT = ("Conflict", "there is a VEN ven-001 already")


required_role = RoutePermissions(metrics_open=False).required_role


def operation_id(route: APIRoute) -> str:
    """Return what clients that are generated call a route: the name of its function, in camelCase."""
    return to_camel(route.name)


class DescribedApp(FastAPI):
    """An app whose description tells the truth about errors; FastAPI's own promises bodies that we do not send."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            components = document["components"]
            for name in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(name, None)
            components["schemas"].update(_problem_schemas())
            for name, shown in _examples(RestModel):
                if name in components["schemas"]:
                    components["schemas"][name]["examples"] = shown
            components["schemas"] = dict(sorted(components["schemas"].items()))
            components["responses"] = {
                name: _problem(description, int(code), title, detail)
                for code, (name, description, title, detail) in _ANSWERS.items()
            }
            for name in ("Unavailable", "TooManyRequests"):
                components["responses"][name]["headers"] = {"Retry-After": _header("Seconds.", "integer")}
            components["responses"]["Unauthorized"]["headers"] = {"WWW-Authenticate": _header("What is needed.")}
            components["securitySchemes"] = _SECURITY
            for path, method, operation in _operations(document):
                role = required_role(method.upper(), path)
                operation["security"] = [] if role is None else [{name: []} for name in _SECURITY]
                if role is not None:
                    operation["x-role"] = role.value
                _describe(path, operation, components["schemas"])
        return self.openapi_schema or {}


def _examples(base: type[RestModel]) -> Iterator[tuple[str, Any]]:
    """Return the models with their examples as they were written: FastAPI takes nulls out."""
    for model in base.__subclasses__():
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict):
            yield model.__name__, extra["examples"]
        yield from _examples(model)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _describe(path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    # FastAPI has words of the function's name; ours are the first sentence of its docstring.
    operation["summary"] = re.split(r"[;:\n]", operation["description"])[0].rstrip(".")
    answers = operation["responses"]
    for code in _errors(path, operation):
        answers[code] = {"$ref": f"#/components/responses/{_ANSWERS[code][0]}"}
    if "409" in answers:
        answers["409"] = _problem(answers["409"]["description"], 409, *_CONFLICT)
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    for code, answer in answers.items():
        if code.startswith("2"):
            if code == "201":
                answer["headers"] = {"Location": _header("The path of what was created.")}
            if "cursor" in parameters:
                answer["headers"] = {"Link": _header('The next page, with rel="next"; absent on the last.')}
            for content in answer.get("content", {}).values():
                _show(content, schemas)
    operation["responses"] = dict(sorted(answers.items()))


def _errors(path: str, operation: dict[str, Any]) -> Iterator[str]:
    if "x-role" in operation:
        yield from ("401", "403")
    yield "429"
    if "requestBody" in operation:
        yield from ("400", "413")
    if "requestBody" in operation or operation.get("parameters"):
        yield "422"
    if "{" in path:
        yield "404"
    # /health/ready has a body of its own then.
    if "503" not in operation["responses"]:
        yield "503"


def _show(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add an example where the schema is no model, which has its own."""
    schema = content["schema"]
    if schema.get("type") == "array":
        name = schema["items"]["$ref"].rpartition("/")[2]
        content["example"] = schemas[name]["examples"]


def _problem_schemas() -> dict[str, Any]:
    models = [(model, "serialization") for model in (FieldError, Problem)]
    _, document = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def _problem(description: str, status: int, title: str | None, detail: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if title is not None:
        content["example"] = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": "/api/vens",
        }
    return {"description": description, "content": {PROBLEM: content}}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}
