"""What the feed tells: one model a type. Power in kW."""

from datetime import datetime
from typing import Literal

from schemas.dr.command_state import CommandState
from schemas.rest.events import EventStatus, Funnel, ResponseTimes
from schemas.rest.model import Figure, RestModel


class EventChange(RestModel):
    """How a DR event stands, without its VENs.

    `actual_reduction_kw` is null where it is over and not figured out yet. The figures are those of `GET
    /api/events/{eventId}`, but for what VENs answer that were never told.
    """

    id: str
    status: EventStatus | Literal["deleted"]
    start_time: datetime
    end_time: datetime
    requested_reduction_kw: Figure
    actual_reduction_kw: Figure | None
    current_reduction_kw: Figure
    created_at: datetime
    ended_at: datetime | None
    cancelled_at: datetime | None
    vens_responding: int
    avg_response_ms: int
    responses: int
    response_ms: ResponseTimes
    funnel: Funnel


class CommandChange(RestModel):
    """How far a command got; `GET /api/commands/{correlationId}` has the whole way."""

    correlation_id: str
    ven_id: str
    event_id: str | None
    op: str
    phase: Literal["event", "restore"] | None
    state: CommandState
    ack_status: str | None
    shed_at: datetime | None
    lost_at: datetime | None
    changed_at: datetime


class VenChange(RestModel):
    """A VEN that went on- or offline, was disabled, or is gone (`deleted`)."""

    id: str
    name: str
    status: str
    last_seen: datetime | None
