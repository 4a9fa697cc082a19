"""What all REST models share."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

# Of kW that is a milliwatt: no device measures it.
_DIGITS = 6


class RestModel(BaseModel):
    """camelCase on the wire, snake_case in the code."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False)


def example(values: dict[str, Any], extra: Literal["forbid"] | None = None) -> ConfigDict:
    """Return the configuration of a model whose description shows these values, as they are on the wire."""
    return ConfigDict(json_schema_extra={"examples": [values]}, extra=extra)


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


Moment = Annotated[datetime, AfterValidator(_as_utc)]
"""A time in a request, as UTC."""
