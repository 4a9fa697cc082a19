"""How DR events go, and went."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import Database, EventId
from api.figures import actual_reductions, figure
from api.intervals import Interval
from api.problems import unknown
from api.queries.event_sheds import names_of_vens
from api.queries.events import fetch_current, fetch_event, fetch_overlapping
from api.views.events import detail_view, event_view, event_with_metrics_view, metrics_view
from schemas.rest.events import Event, EventDetail, EventMetrics, EventWithMetrics

router = APIRouter(prefix="/api/events", tags=["events"])


@router.get("/current")
async def read_current_event(database: Database) -> EventWithMetrics | None:
    """Read the active event that began last; null when there is none."""
    row = await fetch_current(database)
    return None if row is None else event_with_metrics_view(row, await figure(database, row))


@router.get("/history")
async def list_event_history(
    database: Database, interval: Interval, limit: Annotated[int, Query(ge=1, le=5000)] = 1000
) -> list[Event]:
    """List the events that overlap [start, end), those that start last first; a bound that is missing is no bound."""
    rows = await fetch_overlapping(database, interval.start, interval.end, limit)
    figures = await actual_reductions(database, rows)
    return [event_view(row, figures.get(row["event_id"], 0.0)) for row in rows]


@router.get("/{event_id}")
async def read_event(event_id: EventId, database: Database) -> EventDetail:
    """Read an event with how it goes, and with the VENs that were named, told, or have spoken of it."""
    row = await fetch_event(database, event_id)
    if row is None:
        raise unknown("event", event_id)
    figures = await figure(database, row)
    spoken = {*(row["ven_ids"] or ()), *figures.answers, *figures.sheds}
    return detail_view(row, figures, await names_of_vens(database, event_id, list(spoken)))


@router.get("/{event_id}/metrics")
async def read_event_metrics(event_id: EventId, database: Database) -> EventMetrics:
    """Read how an event goes."""
    row = await fetch_event(database, event_id)
    if row is None:
        raise unknown("event", event_id)
    return metrics_view(await figure(database, row))
