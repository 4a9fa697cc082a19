"""Validators of the schemas of docs/reference/asyncapi.yaml; strict ones reject fields that it does not list."""

from functools import cache
from typing import Any

import jsonschema_rs
import yaml

from tests.support.paths import ROOT

FILE = ROOT / "docs" / "reference" / "asyncapi.yaml"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


@cache
def schema(name: str, *, strict: bool = False) -> jsonschema_rs.Draft7Validator:
    """Of one schema of the document, by its name."""
    schemas = document()["components"]["schemas"]
    whole = {
        "$ref": f"#/components/schemas/{name}",
        "components": {"schemas": _closed(schemas) if strict else schemas},
    }
    return jsonschema_rs.Draft7Validator(whole, validate_formats=True)


def names_in(channel: str) -> list[str]:
    """The messages of a channel."""
    return list(document()["channels"][channel]["messages"])


def wrong_with(channel: str, value: Any) -> str | None:
    """Why a value is none of a channel's messages, read strictly; None when it is one."""
    errors = [[error.message for error in schema(name, strict=True).iter_errors(value)] for name in names_in(channel)]
    return None if not all(errors) else f"{channel}: {errors} in {value}"


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _closed(each) for name, each in part.items() if name != "allOf"}
    if "allOf" in part:
        closed["allOf"] = part["allOf"]  # conditions on what is listed beside them
    if part.get("type") == "object" and isinstance(part.get("properties"), dict):
        closed["additionalProperties"] = False
    return closed
