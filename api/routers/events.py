"""DR events: list, create, stop, remove. Their commands are made by the dispatcher, at their time."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response, status

from api.auth.audit import CurrentAction
from api.dependencies import Database, EventId, Settings
from api.http.pagination import Cursor, add_next_link
from api.http.problems import conflict, conflict_response, not_found, unprocessable
from api.idempotency import CreateResult, Idempotent
from api.queries.events import (
    database_now,
    delete_event,
    fetch_event,
    fetch_events,
    insert_event,
    stop_event,
    unknown_vens,
)
from api.services.event_performance import actual_reductions
from api.services.request_tracing import trace_request
from api.views.events import event_view
from runtime.database import PooledConnection
from schemas.rest.events import Event, EventCreate, EventStatus, Stopping
from schemas.rest.values import IgnoresCase

router = APIRouter(prefix="/api/events", tags=["events"])


@router.get("")
async def list_events(
    request: Request,
    response: Response,
    database: Database,
    settings: Settings,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = "",
    status: Annotated[EventStatus | None, IgnoresCase] = None,
) -> list[Event]:
    """List events, those that start last first, at most `limit`; a Link header names the next page."""
    rows = await fetch_events(database, status=status, cursor=cursor, limit=limit + 1)
    if len(rows) > limit:
        add_next_link(request, response, limit=limit, status=status, cursor=rows[limit - 1]["event_id"])
    reductions = await actual_reductions(database, rows[:limit], settings.energy_hold_seconds)
    return [event_view(row, reductions.get(row["event_id"], 0.0)) for row in rows[:limit]]


@router.post("", status_code=status.HTTP_201_CREATED, response_model=Event)
async def create_event(event: EventCreate, idempotent: Idempotent) -> Response:
    """Create an event; one that is wholly in the past is completed at once, and nobody is told of it."""

    async def create(connection: PooledConnection) -> CreateResult:
        now = await database_now(connection)
        start = now if event.status == "active" else event.start_time
        if event.end_time <= start:
            raise unprocessable("endTime has passed; an active event starts now")
        if event.ven_ids is not None and (missing := await unknown_vens(connection, event.ven_ids)):
            raise unprocessable(f"venIds: there is no VEN {', '.join(missing)}")
        event_id = await insert_event(connection, event, start)
        trace.event(event_id)
        row = await fetch_event(connection, event_id)
        # Nobody can have shed anything under an id that is new.
        return CreateResult(
            status.HTTP_201_CREATED, event_view(row, 0.0), event_id, f"/api/events/{quote(event_id, safe='')}"
        )

    with trace_request() as trace:
        return await idempotent.run(event, create)


@router.delete("/{event_id}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_event(event_id: EventId, database: Database, action: CurrentAction) -> None:
    """Remove an event, and end it if it is active; its commands and acknowledgements stay with the VENs."""
    async with action.transaction(database) as connection:
        if not await delete_event(connection, event_id):
            raise not_found("event", event_id)


@router.post(
    "/{event_id}/stop",
    status_code=status.HTTP_202_ACCEPTED,
    operation_id="stopEvent",
    responses=conflict_response("The event is over already."),
)
async def stop(event_id: EventId, database: Database, action: CurrentAction) -> Stopping:
    """End an active event now, cancel one that has not begun; 409 when it is over already."""
    async with action.transaction(database) as connection:
        if not await stop_event(connection, event_id):
            row = await fetch_event(connection, event_id)
            raise not_found("event", event_id) if row is None else conflict(f"{event_id} is {row['status']} already")
    return Stopping(event_id=event_id)
