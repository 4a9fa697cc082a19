"""What all request bodies share: they refuse fields that they do not know."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ConfigDict, model_validator

from schemas.rest.model import RestModel

_CLOSE = 0.6


class RequestBody(RestModel):
    """A JSON object of a request. A field with another name is an error: a misspelt limit would not limit."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _knows_all_fields(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            unknown = [name for name in value if name not in known and name not in cls.model_fields]
            if unknown:
                raise ValueError(unknown_names("field", unknown, known))
        return value


def unknown_names(what: str, unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return the message that these fields or parameters are unknown, with the nearest known name of each."""
    by_lower_case = {name.lower(): name for name in known}
    named = []
    for name in unknown:
        close = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=_CLOSE)
        named.append(f"{name} (did you mean {by_lower_case[close[0]]}?)" if close else name)
    known_list = ", ".join(by_lower_case.values()) or "none"
    return f"unknown {what}: {', '.join(named)}; known: {known_list}"
