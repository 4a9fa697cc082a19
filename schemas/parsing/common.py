"""What all parsers share: JSON, VEN ids, times and the choice between spellings."""

from codecs import BOM_UTF8
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.filters import has_valid_characters

T = TypeVar("T")
W = TypeVar("W", bound=msgspec.Struct)

MAX_PAYLOAD_BYTES = 128 * 1024
"""The largest payload that AWS IoT Core accepts."""

MAX_DEPTH = 32
"""The deepest nesting of a payload; devices use up to four levels."""

MAX_ID_LENGTH = 128
MAX_TEXT = 1024
"""The longest text, in characters, of a field with its own column."""

_FORBIDDEN_IN_IDS = frozenset("/+#")
# Clients shorten paths such as `/api/vens/..`, and `/api/vens/summary` is another resource.
_RESERVED_IDS = frozenset({".", "..", "summary"})
_SECONDS_BELOW = 1e11  # as seconds this is the year 5138, as milliseconds 1973: no overlap in practice


def trim(payload: bytes) -> bytes:
    """Return a payload without a leading byte-order mark and without white space or NUL at its end."""
    return payload.removeprefix(BOM_UTF8).rstrip(b" \t\r\n\0")


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
        raise RejectedError(Reason.NOT_OBJECT, f"the payload is a JSON {type(document).__name__}, not an object")
    return document


def check_ven_id(value: Any) -> str:
    """Return the id if it can be a level of MQTT topics and of REST paths: the rule for MQTT and REST alike.

    Raises:
        RejectedError: bad_id.
    """
    if not isinstance(value, str):
        raise RejectedError(Reason.BAD_ID, f"an id must be text, not {type(value).__name__}")
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise RejectedError(Reason.BAD_ID, f"an id has 1 to {MAX_ID_LENGTH} characters, this one has {len(value)}")
    if not _FORBIDDEN_IN_IDS.isdisjoint(value) or not has_valid_characters(value):
        raise RejectedError(Reason.BAD_ID, f"{value!r} contains / + # or a character that MQTT topics cannot contain")
    if value in _RESERVED_IDS:
        raise RejectedError(Reason.BAD_ID, f"{value!r} cannot be an id, because it has another meaning in REST paths")
    return value


def ven_id_of(document: Mapping[str, Any]) -> str:
    """Read the VEN's id in either spelling.

    Raises:
        RejectedError: missing_id or bad_id.
    """
    value = first_of(document, "venId", "ven_id")
    if value is None:
        raise RejectedError(Reason.MISSING_ID, "venId (or ven_id) is missing")
    return check_ven_id(value)


def time_of(document: Mapping[str, Any]) -> datetime:
    """Read the time of measurement in either spelling, as UTC with microseconds.

    Raises:
        RejectedError: missing_time or bad_time.
    """
    value = first_of(document, "timestamp", "ts")
    if value is None:
        raise RejectedError(Reason.MISSING_TIME, "timestamp (or ts) is missing")
    return parse_time(value)


def optional_time_of(document: Mapping[str, Any]) -> datetime | None:
    """Read the time of a message that counts by its receive time; None if it cannot be read."""
    try:
        return time_of(document)
    except RejectedError:
        return None


def parse_time(value: Any) -> datetime:
    """Convert seconds, milliseconds (recognised by size) or ISO 8601 text to UTC; text without a zone is UTC.

    Raises:
        RejectedError: bad_time.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and not _looks_like_a_date(value):
            seconds = value if -_SECONDS_BELOW < value < _SECONDS_BELOW else value / 1000
            return datetime.fromtimestamp(seconds, UTC)
        if isinstance(value, str) and not value.isdecimal():
            moment = datetime.fromisoformat(value.upper())
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    given = repr(value[:60]) if isinstance(value, str) else f"a {type(value).__name__}"
    raise RejectedError(Reason.BAD_TIME, f"{given} is not a time in seconds, milliseconds or ISO 8601")


def _looks_like_a_date(number: float) -> bool:
    """Return whether a number has eight digits, like 20261130: it could be a date, or seconds in the 1970s."""
    return 10_000_000 <= number < 100_000_000  # noqa: PLR2004 - eight digits


def first_of(document: Mapping[str, Any], *spellings: str) -> Any:
    """Return the value of the first spelling that is present and not null; name the modern spelling first."""
    for name in spellings:
        value = document.get(name)
        if value is not None:
            return value
    return None


def first_given(*values: T | None) -> T | None:
    """Return the first value that is not None."""
    for value in values:
        if value is not None:
            return value
    return None


def convert_fields(document: Any, wire: type[W], spellings: Sequence[Sequence[str]], reason: Reason) -> W:
    """Check the types of an object's known fields.

    If a field occurs in several spellings, only the type of the first one is checked.

    Raises:
        RejectedError: with `reason`.
    """
    try:
        return msgspec.convert(document, wire)
    except msgspec.ValidationError as error:
        if not isinstance(document, dict):
            raise RejectedError(reason, str(error)) from None
    winners = dict(document)
    for names in spellings:
        for loser in [name for name in names if document.get(name) is not None][1:]:
            del winners[loser]
    try:
        return msgspec.convert(winners, wire)
    except msgspec.ValidationError as error:
        raise RejectedError(reason, str(error)) from None


def short_text(name: str, value: Any, reason: Reason, most: int = MAX_TEXT) -> str:
    """Return the text of a field with its own column.

    Raises:
        RejectedError: with `reason`: not a text, too long, or with a NUL character, which PostgreSQL cannot store.
    """
    if not isinstance(value, str):
        raise RejectedError(reason, f"its {name} must be text, not {type(value).__name__}")
    if "\0" in value or len(value) > most:
        raise RejectedError(reason, f"its {name} contains a NUL character or more than {most} characters")
    return value


def text_of(value: Any) -> str:
    """Return a text unchanged, and any other value as sorted JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()


def unknown_fields(document: Mapping[str, Any], known: Collection[str]) -> dict[str, Any] | None:
    """Return the unknown fields, fit for JSONB; None if there are none.

    Raises:
        RejectedError: too_deep.
    """
    names = document.keys() - known
    return storable({name: document[name] for name in names if document[name] is not None}) or None if names else None


def whole(name: str, value: float | None, bits: int, reason: Reason) -> int | None:
    """Return a whole number of at most `bits` bits and a sign; some devices write 5.0.

    Raises:
        RejectedError: with `reason`.
    """
    if value is None:
        return None
    if (isinstance(value, float) and not value.is_integer()) or abs(value) >= 2**bits:
        raise RejectedError(reason, f"{name} must be a whole number of at most {bits} bits, not {value}")
    return int(value)


def storable(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Make an unknown value fit for JSONB, which cannot store NUL characters.

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
        # Sorted, because the digest of a record must not depend on the order of keys.
        return {storable(key, depth): storable(value[key], depth - 1) for key in sorted(value)}
    return value
