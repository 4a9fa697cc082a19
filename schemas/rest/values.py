"""Validated values of requests: numbers, text without control characters, plausible times."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from schemas.base.rejection import RejectedError
from schemas.parsing.common import MAX_DEPTH, MAX_ID_LENGTH, check_ven_id
from schemas.records.telemetry import MAX_MAGNITUDE
from schemas.rest.model import Moment

MAX_NAME = 256
MOST_SECONDS = 7 * 86_400
"""The longest duration of a command."""
MAX_REPORT_INTERVAL = 86_400
"""Seconds; a value holds for three intervals, so longer ones would tell nothing about a day."""

_LARGEST = 1e300
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2100, 1, 1, tzinfo=UTC)


def _number(value: Any) -> Any:
    """Refuse text and booleans: JSON has numbers."""
    if isinstance(value, bool | str):
        raise ValueError("a number is expected")  # noqa: TRY004 - only a ValueError becomes a 422
    if isinstance(value, int) and abs(value) > 2**63:
        raise ValueError("the number is too large")
    return value


def _printable(value: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise ValueError("control characters are not allowed")
    return value


def as_known_status(status: str) -> str:
    """Return a status that the gateway acts on in lower case, and any other word as it is."""
    return status.lower() if status.lower() in {"online", "offline", "pending", "disabled"} else status


def _new_ven_id(value: str) -> str:
    try:
        check_ven_id(value)
    except RejectedError as error:
        raise ValueError(error.rejection.detail) from None
    return value


def _plausible(moment: datetime) -> datetime:
    if not _FIRST <= moment < _LAST:
        raise ValueError(f"a time from {_FIRST:%Y} to before {_LAST:%Y} is expected")
    return moment


def check_json(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a free JSON value that PostgreSQL and devices can take.

    Raises:
        ValueError: NaN, infinity, a NUL or half a character, a number beyond any double, or too deep.
    """
    if depth == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("NUL characters and halves of characters are not allowed")
    elif isinstance(value, list):
        for item in value:
            check_json(item, depth - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            check_json(name, depth)
            check_json(item, depth - 1)
    elif isinstance(value, int | float) and not abs(value) < _LARGEST:
        raise ValueError(f"NaN, infinity and numbers from {_LARGEST} on are not allowed")
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


IgnoresCase = BeforeValidator(_lower)
"""Marks an enumerated value of a query, whose known values are all in lower case."""

PositiveKw = Annotated[float, BeforeValidator(_number), Field(gt=0, le=MAX_MAGNITUDE)]
Kw = Annotated[float, BeforeValidator(_number), Field(ge=0, le=MAX_MAGNITUDE)]
Latitude = Annotated[float, BeforeValidator(_number), Field(ge=-90, le=90)]
Longitude = Annotated[float, BeforeValidator(_number), Field(ge=-180, le=180)]
Duration = Annotated[int, BeforeValidator(_number), Field(ge=1, le=MOST_SECONDS, description="Seconds.")]
ReportInterval = Annotated[
    float,
    BeforeValidator(_number),
    Field(gt=0, le=MAX_REPORT_INTERVAL, description="How often the VEN reports, in seconds."),
]
MaxPower = Annotated[
    float,
    BeforeValidator(_number),
    Field(gt=0, le=MAX_MAGNITUDE, description="Power beyond this, either way, is rejected; in kW."),
]
Priority = Annotated[int, BeforeValidator(_number), Field(ge=0, le=2**31 - 1)]

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(_printable)
]
Status = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_printable),
    AfterValidator(as_known_status),
]
NewVenId = Annotated[str, AfterValidator(_printable), AfterValidator(_new_ven_id)]
EventName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(_printable)]
PlausibleMoment = Annotated[Moment, AfterValidator(_plausible)]
"""A time that an event can have."""
