"""Decodes a command as a device does: missing fields are tolerated, and whatever is no command is ignored."""

import math
from typing import Any, NamedTuple

import msgspec

HOUR_S = 3600.0
"""How long devices shed when a command gives no duration, or 0."""


class Command(NamedTuple):
    """A command: its op, its correlation id, and the whole document."""

    op: str
    correlation_id: str | None
    document: dict[str, Any]

    def text(self, *names: str) -> str | None:
        """Return the first of these fields, at the top or in `data`, that is a non-empty text."""
        return next((value for value in self._values(names) if isinstance(value, str) and value), None)

    def kw(self, *names: str) -> float | None:
        """Return the first of these fields that is not null, in kW; None when it is no number of at least 0."""
        for value in self._values(names):
            if value is not None:
                return float(value) if _is_number(value) and value >= 0 else None
        return None

    def seconds(self, *names: str) -> float:
        """Return the first of these fields that is a number above 0, else an hour, in seconds."""
        return next((float(value) for value in self._values(names) if _is_number(value) and value > 0), HOUR_S)

    def flag(self, name: str) -> bool | None:
        return next((value for value in self._values((name,)) if isinstance(value, bool)), None)

    def _values(self, names: tuple[str, ...]) -> list[Any]:
        data = self.document.get("data")
        objects = [self.document, data] if isinstance(data, dict) else [self.document]
        return [each[name] for each in objects for name in names if name in each]


def decode_command(payload: bytes) -> Command | None:
    """Decode a payload; None when it is no command."""
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
