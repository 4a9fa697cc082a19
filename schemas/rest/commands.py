"""Commands that operators send to VENs."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from schemas.rest.model import RestModel
from schemas.rest.values import Duration, EventName, PositiveKw, check_json


class ShedLoad(RestModel):
    """Shed so much at one load; without a duration, how long is for the device to say."""

    amount_kw: PositiveKw
    duration_s: Duration | None = None
    event_id: EventName | None = None


class SendEvent(RestModel):
    """Shed so much in the whole home, as for an event; an id is made up when none is given."""

    shed_kw: PositiveKw
    duration_s: Duration
    event_id: EventName | None = None


class FreeCommand(RestModel):
    """Any op. The data of those that are known are checked; others reach the device as they are."""

    op: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    data: Annotated[dict[str, Any] | None, AfterValidator(check_json)] = None


class Sent(RestModel):
    """A command that was taken in; acknowledgements repeat its `correlation_id`."""

    correlation_id: str
    ven_id: str
    op: str
    event_id: str | None
