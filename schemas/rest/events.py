"""DR events: what is asked for, and what became of it. Power in kW."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.dr.command_state import EventVenStatus
from schemas.rest.model import Figure, RestModel, example
from schemas.rest.request_body import RequestBody
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
_VEN = {
    "venId": "ven-001",
    "venName": "Maple Street 12",
    "shedKw": 4.8,
    "status": "shedding",
    "shareKw": 5.0,
    "capabilityKw": 6.1,
    "reason": "proportional",
    "late": False,
    "deliveredKwh": None,
    "correlationId": "evt-evt-1f0c9a3b-ab12cd34",
    "ackedAfterMs": 412,
}
_FUNNEL = {
    "targeted": 50,
    "logged": 50,
    "sent": 49,
    "acknowledged": 46,
    "refused": 1,
    "expired": 1,
    "unanswered": 2,
    "lost": 0,
    "shedding": 46,
    "restored": 0,
}
_RESPONSE = {"p50": 390, "p95": 1210}


def _each_once(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


class EventCreate(RequestBody):
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
    requested_reduction_kw: Figure
    actual_reduction_kw: Figure
    ven_ids: list[str] | None
    created_at: datetime
    ended_at: datetime | None
    cancelled_at: datetime | None


class EventMetrics(RestModel):
    """`current_reduction_kw` is now, and 0 when the event is not active.

    `avg_response_ms` is the mean time from command to first answer, 0 where `responses`, their number, is 0.
    """

    model_config = example(_METRICS)

    current_reduction_kw: Figure
    vens_responding: int
    avg_response_ms: int
    responses: int


class EventWithMetrics(Event, EventMetrics):
    """An event and how it goes."""

    model_config = example({**_EVENT, **_METRICS})


class EventVen(RestModel):
    """What one VEN sheds in an event: now while the event is active, on average when it is completed.

    `share_kw` is the requested reduction of this VEN, `capability_kw` what it could shed when that was decided,
    `reason` how the share was computed or why there is none, and `late` whether it joined after the start. They are
    null, or false, if the VEN has no share. `delivered_kwh` is null until the event is over. `correlation_id` is that
    of the last command, `acked_after_ms` how long after this command the first ack was received.
    """

    model_config = example(_VEN)

    ven_id: str
    ven_name: str
    shed_kw: Figure
    status: EventVenStatus
    share_kw: Figure | None
    capability_kw: Figure | None
    reason: str | None
    late: bool
    delivered_kwh: Figure | None
    correlation_id: str | None
    acked_after_ms: int | None


class Funnel(RestModel):
    """Number of VENs that reached each step of an event. Of several commands to a VEN, the last one counts.

    `targeted`, `logged`, `sent` and `acknowledged` each include the next. `targeted`: the event addresses the VEN.
    `logged`: `ven.commands` contains its command. `sent`: the MQTT broker has the command, or the VEN shows that it
    has it. `acknowledged`: the VEN accepted. The others are no part of this sum. `refused`: the VEN refused.
    `expired`: it was too late to send the command. `unanswered`: no ack came in time. `lost`: the VEN stopped
    reporting the event before its end. `shedding`: the VEN sheds for the event, with or without a command.
    `restored`: the VEN confirmed the restore.
    """

    model_config = example(_FUNNEL)

    targeted: int
    logged: int
    sent: int
    acknowledged: int
    refused: int
    expired: int
    unanswered: int
    lost: int
    shedding: int
    restored: int


class ResponseTimes(RestModel):
    """How long after the command the first answers were received, in ms; null where there is none."""

    model_config = example(_RESPONSE)

    p50: int | None
    p95: int | None


class EventDetail(EventWithMetrics):
    """An event, its performance, and its VENs: all targets, and VENs that reported or acknowledged it.

    `started_at` is when its VENs were selected; `missed` is true if no process ran that could start it.
    `delivered_kwh` is the energy that was not used, and `covered_share` for how much of the event (0 to 1) samples tell
    so, on average over the VENs that take part; both are null until the event is over.
    """

    model_config = example(
        {
            **_EVENT,
            **_METRICS,
            "startedAt": "2025-10-23T17:00:00.380000Z",
            "missed": False,
            "deliveredKwh": None,
            "coveredShare": None,
            "funnel": _FUNNEL,
            "responseMs": _RESPONSE,
            "vens": [_VEN],
        }
    )

    started_at: datetime | None
    missed: bool
    delivered_kwh: Figure | None
    covered_share: Figure | None
    funnel: Funnel
    response_ms: ResponseTimes
    vens: list[EventVen]


class Stopping(RestModel):
    """An accepted stop request."""

    model_config = example({"status": "stopping", "eventId": "evt-1f0c9a3b"})

    status: Literal["stopping"] = "stopping"
    event_id: str
