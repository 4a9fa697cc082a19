"""What all REST models share."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

# Of kW that is a milliwatt: no device measures it.
_DIGITS = 6
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)
_UNIX_TIME = re.compile(r"[0-9]{10,}(\.[0-9]*)?")


class RestModel(BaseModel):
    """camelCase on the wire, snake_case in the code."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False)


def example(values: dict[str, Any]) -> ConfigDict:
    """Return the configuration of a model whose description shows these values, as they are on the wire."""
    return ConfigDict(json_schema_extra={"examples": [values]})


def _plain(figure: float) -> float:
    return round(figure, _DIGITS)


Figure = Annotated[float, AfterValidator(_plain)]
"""A figure in an answer: sums and means without the tail that binary fractions leave (0.30000000000000004)."""


def _as_utc(moment: datetime) -> datetime:
    """A time without a zone is UTC."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _iso_or_unix(value: Any) -> Any:
    """A number is a Unix time in seconds or milliseconds; a short one, such as 20261130, is more likely a date."""
    digits = str(value).strip() if isinstance(value, str | int | float) else ""
    if _NUMBER.fullmatch(digits) and not _UNIX_TIME.fullmatch(digits):
        raise ValueError("a time is ISO 8601, or Unix seconds or milliseconds with at least ten digits")
    return value


Moment = Annotated[datetime, BeforeValidator(_iso_or_unix), AfterValidator(_as_utc)]
"""A time in a request, as UTC."""
