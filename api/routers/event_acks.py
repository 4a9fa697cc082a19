"""The acks of a DR event, and what they report of each circuit."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.dependencies import Database, EventId
from api.http.problems import not_found
from api.queries.acks import fetch_acks_of_event, fetch_circuits_of_event
from api.queries.events import fetch_event
from api.views.acks import ack_view, circuit_view
from runtime.database import Pool
from schemas.rest.acks import EventCircuit, VenEventAck

router = APIRouter(prefix="/api/events/{event_id}", tags=["events", "acks"])

Limit = Annotated[int, Query(ge=1, le=50_000)]
"""Higher than elsewhere: the list covers a whole fleet."""


@router.get("/acks")
async def list_event_acks(event_id: EventId, database: Database, limit: Limit = 5000) -> list[VenEventAck]:
    """List the newest acks of an event, newest first."""
    event = await _event(database, event_id)
    return [ack_view(row) for row in await fetch_acks_of_event(database, event_id, _acks_interval(event), limit)]


@router.get("/circuits")
async def list_event_circuits(event_id: EventId, database: Database, limit: Limit = 5000) -> list[EventCircuit]:
    """List what each circuit did in an event, from its last ack, ordered by VEN and circuit."""
    event = await _event(database, event_id)
    return [
        circuit_view(row) for row in await fetch_circuits_of_event(database, event_id, _acks_interval(event), limit)
    ]


def _acks_interval(event: Any) -> tuple[datetime, datetime]:
    return event["acks_from"], event["acks_to"]


async def _event(database: Pool, event_id: str) -> Any:
    row = await fetch_event(database, event_id)
    if row is None:
        raise not_found("event", event_id)
    return row
