"""A command as a device reads it: tolerant of what is missing, deaf to what is no command."""

import math
from typing import Any, NamedTuple

import msgspec

HOUR_S = 3600.0
"""How long devices shed where a command does not say, or says 0."""


class Command(NamedTuple):
    """One command: its op, by what its answer is known again, and all it said."""

    op: str
    correlation_id: str | None
    document: dict[str, Any]

    def text(self, *names: str) -> str | None:
        """The first of these that is a text that says something, at the top or in `data`."""
        return next((value for value in self._all(names) if isinstance(value, str) and value), None)

    def kw(self, *names: str) -> float | None:
        """The first of these that is there, at the top or in `data`, in kW; None when it is no number of at least 0."""
        for value in self._all(names):
            if value is not None:
                return float(value) if _is_number(value) and value >= 0 else None
        return None

    def seconds(self, *names: str) -> float:
        """How long to shed, in seconds: the first of these that is a number above 0, else an hour."""
        return next((float(value) for value in self._all(names) if _is_number(value) and value > 0), HOUR_S)

    def flag(self, name: str) -> bool | None:
        return next((value for value in self._all((name,)) if isinstance(value, bool)), None)

    def _all(self, names: tuple[str, ...]) -> list[Any]:
        data = self.document.get("data")
        places = [self.document, data] if isinstance(data, dict) else [self.document]
        return [place[name] for place in places for name in names if name in place]


def decode_command(payload: bytes) -> Command | None:
    """Read a payload; None when it is no command."""
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("op"), str):
        return None
    correlation_id = document.get("correlationId")
    return Command(document["op"], correlation_id if isinstance(correlation_id, str) else None, document)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
