"""docs/reference/backend-api.md tells of every call of the API, and of no other."""

import json

import pytest
import yaml

from api.app import openapi_yaml
from tests.support.backend_api import Call, calls

CALLS = calls()


def test_documented_calls_equal_the_routes() -> None:
    paths = yaml.safe_load(openapi_yaml())["paths"]
    assert sorted((call.method, call.path) for call in CALLS) == sorted(
        (method.upper(), path) for path, methods in paths.items() for method in methods
    )


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_every_call_has_an_example(call: Call) -> None:
    assert call.request.method == call.method
    given, asked = call.path.split("/"), call.request.path.partition("?")[0].split("/")
    assert len(given) == len(asked)
    assert all(part == other or part.startswith("{") for part, other in zip(given, asked, strict=True))
    if call.answer is not None:
        assert json.dumps(call.answer)
