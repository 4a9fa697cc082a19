"""Commands that operators send to VENs."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from schemas.rest.model import RestModel, example
from schemas.rest.request_body import RequestBody
from schemas.rest.values import Duration, EventName, PositiveKw, check_json


class ShedLoad(RequestBody):
    """Shed so much at one load; without a duration, how long is for the device to say."""

    model_config = example({"amountKw": 2.0, "durationS": 900, "eventId": "evt-9"})

    amount_kw: PositiveKw
    duration_s: Duration | None = None
    event_id: EventName | None = None


class SendEvent(RequestBody):
    """Shed so much in the whole home, as for an event; an id is made up when none is given."""

    model_config = example({"shedKw": 5.0, "durationS": 3600})

    shed_kw: PositiveKw
    duration_s: Duration
    event_id: EventName | None = None


class FreeCommand(RequestBody):
    """Any op. The data of those that are known are checked; others reach the device as they are."""

    model_config = example({"op": "setConfig", "data": {"report_interval_seconds": 15}})

    op: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    data: Annotated[dict[str, Any] | None, AfterValidator(check_json)] = None


class Sent(RestModel):
    """An accepted command; acks repeat its `correlation_id`."""

    model_config = example(
        {"correlationId": "5f0c8a1be0d29a47", "venId": "ven-001", "op": "shedLoad", "eventId": "evt-9"}
    )

    correlation_id: str
    ven_id: str
    op: str
    event_id: str | None
