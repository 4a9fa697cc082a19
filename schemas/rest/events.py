"""DR events: what is asked for, and what became of it. Power in kW."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.rest.model import RestModel, example
from schemas.rest.values import EventName, PlausibleMoment, PositiveKw

EventStatus = Literal["scheduled", "active", "completed", "cancelled"]
MOST_VENS = 100_000

_EVENT = {
    "id": "evt-1f0c9a3b",
    "status": "active",
    "startTime": "2025-10-23T17:00:00Z",
    "endTime": "2025-10-23T18:00:00Z",
    "requestedReductionKw": 250.0,
    "actualReductionKw": 231.4,
    "venIds": None,
    "createdAt": "2025-10-23T15:12:09.481000Z",
    "endedAt": None,
    "cancelledAt": None,
}
_METRICS = {"currentReductionKw": 231.4, "vensResponding": 48, "avgResponseMs": 412, "responses": 48}
_VEN = {"venId": "ven-001", "venName": "Maple Street 12", "shedKw": 4.8, "status": "shedding"}


def _each_once(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


class EventCreate(RestModel):
    """An event to come, `active` to begin now, or one of the past for the record."""

    model_config = example(
        {"startTime": "2025-10-23T17:00:00Z", "endTime": "2025-10-23T18:00:00Z", "requestedReductionKw": 250.0}
    )

    start_time: PlausibleMoment
    end_time: PlausibleMoment
    requested_reduction_kw: PositiveKw
    status: Literal["scheduled", "active"] | None = Field(None, description="`active` begins now.")
    ven_ids: Annotated[list[EventName], AfterValidator(_each_once)] | None = Field(
        None, min_length=1, max_length=MOST_VENS, description="The VENs that are asked; null is all."
    )

    @model_validator(mode="after")
    def _ends_after_it_began(self) -> Self:
        if self.status != "active" and self.end_time <= self.start_time:
            raise ValueError("endTime is not after startTime")
        return self


class Event(RestModel):
    """An event. `actual_reduction_kw` is the reduction now while it is active, its time-average when completed.

    `ended_at` is the end when it came before `end_time`; `ven_ids` null is all VENs.
    """

    model_config = example(_EVENT)

    id: str
    status: EventStatus
    start_time: datetime
    end_time: datetime
    requested_reduction_kw: float
    actual_reduction_kw: float
    ven_ids: list[str] | None
    created_at: datetime
    ended_at: datetime | None
    cancelled_at: datetime | None


class EventMetrics(RestModel):
    """`current_reduction_kw` is now, and 0 when the event is not active.

    `avg_response_ms` is the mean time from command to first answer, 0 where `responses`, their number, is 0.
    """

    model_config = example(_METRICS)

    current_reduction_kw: float
    vens_responding: int
    avg_response_ms: int
    responses: int


class EventWithMetrics(Event, EventMetrics):
    """An event and how it goes."""

    model_config = example({**_EVENT, **_METRICS})


class EventVen(RestModel):
    """What one VEN does in an event: now while it is active, on average over it when completed."""

    model_config = example(_VEN)

    ven_id: str
    ven_name: str
    shed_kw: float
    status: Literal["targeted", "sent", "accepted", "refused", "shedding", "restored", "unanswered", "lost", "expired"]


class EventDetail(EventWithMetrics):
    """An event, how it goes, and the VENs that were named, told, or have spoken of it."""

    model_config = example({**_EVENT, **_METRICS, "vens": [_VEN]})

    vens: list[EventVen]


class Stopping(RestModel):
    """A stop that was taken in."""

    model_config = example({"status": "stopping", "eventId": "evt-1f0c9a3b"})

    status: Literal["stopping"] = "stopping"
    event_id: str
