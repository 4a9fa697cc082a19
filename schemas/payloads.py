"""What all payloads share: JSON, VEN ids, times and the choice between spellings."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.reasons import Reason, RejectedError

MAX_PAYLOAD_BYTES = 128 * 1024
"""What AWS IoT Core lets a device publish."""

MAX_DEPTH = 32
"""Nesting that a payload may have; real ones have four levels."""

MAX_ID_LENGTH = 128
_FORBIDDEN_IN_IDS = frozenset("/+#")
_SECONDS_BELOW = 1e11  # as seconds this is the year 5138, as milliseconds 1973: no overlap in practice
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_object(payload: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        RejectedError: empty, too_large, not_json, too_deep, not_object or bad_value (a number beyond any double).
    """
    if not payload:
        raise RejectedError(Reason.EMPTY, "the payload is empty")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RejectedError(Reason.TOO_LARGE, f"{len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are accepted")
    try:
        document = msgspec.json.decode(payload)
    except msgspec.ValidationError as error:
        raise RejectedError(Reason.BAD_VALUE, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedError(Reason.NOT_JSON, str(error)) from None
    except RecursionError:
        raise RejectedError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(document, dict):
        raise RejectedError(Reason.NOT_OBJECT, f"a JSON {type(document).__name__}, not an object")
    return document


def check_ven_id(value: Any) -> str:
    """Return the id when it can be a level of an MQTT topic.

    Raises:
        RejectedError: bad_id.
    """
    if not isinstance(value, str):
        raise RejectedError(Reason.BAD_ID, f"an id is text, not {type(value).__name__}")
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise RejectedError(Reason.BAD_ID, f"an id has 1 to {MAX_ID_LENGTH} characters, this one {len(value)}")
    if not value.isprintable() or not _FORBIDDEN_IN_IDS.isdisjoint(value):
        raise RejectedError(Reason.BAD_ID, f"{value!r} holds one of / + # or a control character")
    return value


def ven_id_of(document: Mapping[str, Any]) -> str:
    """Read the VEN's id in either spelling.

    Raises:
        RejectedError: missing_id or bad_id.
    """
    value = first_of(document, "venId", "ven_id")
    if value is None:
        raise RejectedError(Reason.MISSING_ID, "neither venId nor ven_id is given")
    return check_ven_id(value)


def time_of(document: Mapping[str, Any]) -> datetime:
    """Read the time of measurement in either spelling, as UTC with microseconds.

    Raises:
        RejectedError: missing_time or bad_time.
    """
    value = first_of(document, "timestamp", "ts")
    if value is None:
        raise RejectedError(Reason.MISSING_TIME, "neither timestamp nor ts is given")
    return parse_time(value)


def parse_time(value: Any) -> datetime:
    """Turn seconds, milliseconds (told apart by size) or ISO 8601 text into UTC; text without a zone is UTC.

    Raises:
        RejectedError: bad_time.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value if abs(value) < _SECONDS_BELOW else value / 1000
            return _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        pass
    raise RejectedError(Reason.BAD_TIME, f"{str(value)[:60]!r} is neither seconds, milliseconds nor ISO 8601 text")


def first_of(document: Mapping[str, Any], *spellings: str) -> Any:
    """Return the first spelling that is there and not null: the modern one is named first, and wins."""
    for name in spellings:
        value = document.get(name)
        if value is not None:
            return value
    return None


def storable(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Make an unknown value fit for JSONB, which has no NUL character.

    Raises:
        RejectedError: too_deep.
    """
    if depth == 0:
        raise RejectedError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [storable(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {storable(key, depth): storable(item, depth - 1) for key, item in value.items()}
    return value
