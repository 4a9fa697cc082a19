"""docs/reference/backend-api.yaml agrees with the code; its examples are true and every error is a problem."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from api.app import openapi_yaml
from schemas.rest.model import RestModel
from tests.support.paths import ROOT

FILE = ROOT / "docs" / "reference" / "backend-api.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(openapi_yaml())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    pytest.param(path, method, operation, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


MODELS = {model.__name__: model for model in models() if model.__module__.startswith("schemas.rest.")}


def test_the_committed_document_is_up_to_date() -> None:
    assert FILE.read_text() == openapi_yaml(), "run `make docs`"


def test_operation_ids_are_unique_names() -> None:
    ids = [str(parameters.id) for parameters in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() and name[0].islower() for name in ids)


@pytest.mark.parametrize("name", [name for name, schema in SCHEMAS.items() if schema.get("type") == "object"])
def test_every_model_has_a_valid_example(name: str) -> None:
    (example,) = SCHEMAS[name]["examples"]
    model = MODELS[name]
    read = model.model_validate(example)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == example
    if issubclass(model, RestModel) and not name.endswith(("Create", "Update")) and name not in REQUESTS:
        required = {field.alias or key for key, field in model.model_fields.items() if field.is_required()}
        assert required <= example.keys()


REQUESTS = {"BulkReplay", "ReplayRequest", "ShedLoad", "SendEvent", "FreeCommand"}


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_lists_its_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = {code: _resolved(answer) for code, answer in operation["responses"].items()}
    assert operation["summary"]
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert "503" in answers
    assert ("404" in answers) == ("{" in path)
    assert ("413" in answers) == ("requestBody" in operation)
    assert ("422" in answers) == ("requestBody" in operation or bool(operation.get("parameters")))
    for code, answer in answers.items():
        assert answer["description"]
        if not code.startswith("2") and operation["operationId"] != "isReady":
            (media,) = answer["content"].items()
            assert media[0] == "application/problem+json"
            assert media[1]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert method in {"get", "post", "patch", "delete"}


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_response_has_an_example(path: str, method: str, operation: dict[str, Any]) -> None:
    for answer in map(_resolved, operation["responses"].values()):
        for content in answer.get("content", {}).values():
            schema = content["schema"]
            shown = "example" in content or any("$ref" in each for each in (schema, *schema.get("anyOf", ())))
            assert shown, (path, method)


def _resolved(answer: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in answer:
        return answer
    found: dict[str, Any] = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return found


def test_no_validation_model_of_fastapi_is_documented() -> None:
    words = FILE.read_text()
    assert "HTTPValidationError" not in words
    assert "ValidationError" not in words


@pytest.mark.parametrize("name", ["NetworkStats", "Health"])
def test_omitted_null_fields_are_not_required(name: str) -> None:
    """Their routes exclude nulls: an empty network has neither networkEfficiency nor averageHousePower."""
    for field in SCHEMAS[name].get("required", ()):
        assert {"type": "null"} not in SCHEMAS[name]["properties"][field].get("anyOf", ())
