"""An app whose OpenAPI description is complete: access roles, problem documents, headers and examples."""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from api.auth.permissions import RoutePermissions
from api.openapi.responses import add_error_responses, header, problem_schemas, response_components
from api.openapi.texts import SECURITY_SCHEMES
from schemas.rest.model import RestModel

_required_role = RoutePermissions(metrics_open=False).required_role


def operation_id(route: APIRoute) -> str:
    """Return the operation id, which generated clients use as a name: the name of the function in camelCase."""
    return to_camel(route.name)


class DescribedApp(FastAPI):
    """Replaces FastAPI's description of errors, which names bodies that this API does not send."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; it is built once."""
        if self.openapi_schema is None:
            document = super().openapi()
            components = document["components"]
            for name in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(name, None)
            components["schemas"].update(problem_schemas())
            for name, examples in _model_examples(RestModel):
                if name in components["schemas"]:
                    components["schemas"][name]["examples"] = examples
            components["schemas"] = dict(sorted(components["schemas"].items()))
            components["responses"] = response_components()
            components["securitySchemes"] = SECURITY_SCHEMES
            for path, method, operation in _operations(document):
                role = _required_role(method.upper(), path)
                operation["security"] = [] if role is None else [{name: []} for name in SECURITY_SCHEMES]
                if role is not None:
                    operation["x-role"] = role.value
                _complete(path, operation, components["schemas"])
        return self.openapi_schema or {}


def _model_examples(base: type[RestModel]) -> Iterator[tuple[str, Any]]:
    """Return the examples of the models as they are written; FastAPI removes nulls from them."""
    for model in base.__subclasses__():
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict):
            yield model.__name__, extra["examples"]
        yield from _model_examples(model)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    # FastAPI derives the summary from the function's name; ours is the start of its docstring.
    operation["summary"] = re.split(r"[;:\n]|\. ", operation["description"])[0].rstrip(".")
    add_error_responses(path, operation)
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    for code, response in operation["responses"].items():
        if code.startswith("2"):
            if code == "201":
                response["headers"] = {"Location": header("The path of what was created.")}
            if "cursor" in parameters:
                response["headers"] = {"Link": header('The next page, with rel="next"; absent on the last one.')}
            for content in response.get("content", {}).values():
                _add_example(content, schemas)
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _add_example(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add an example to a list; a model has its own."""
    schema = content["schema"]
    if schema.get("type") == "array":
        name = schema["items"]["$ref"].rpartition("/")[2]
        content["example"] = schemas[name]["examples"]
