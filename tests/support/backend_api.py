"""The calls of docs/reference/backend-api.md with their examples, for tests."""

import json
import re
import shlex
from typing import Any, NamedTuple

from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "backend-api.md"
SECTION = re.compile(r"^### (GET|POST|PATCH|DELETE) (\S+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Asked(NamedTuple):
    """What an example asks with curl."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None


class Call(NamedTuple):
    """One call, with the answer that the document shows, if any."""

    method: str
    path: str
    request: Asked
    answer: Any


def calls() -> list[Call]:
    """Return them in the order of the document."""
    found = []
    for method, path, text in SECTION.findall(DOCUMENT.read_text()):
        blocks = dict(BLOCK.findall(text))
        answer = json.loads(blocks["json"]) if "json" in blocks else None
        found.append(Call(method, path, _curl(blocks["sh"]), answer))
    return found


def _curl(command: str) -> Asked:
    words = iter(shlex.split(command.replace("\\\n", " ")))
    assert next(words) == "curl"
    method, path, headers, body = "GET", "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            path = word.removeprefix("$API")
    return Asked(method, path, headers, body)
