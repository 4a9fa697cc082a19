"""How DR events perform."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import Database, EventId, Settings
from api.http.problems import not_found
from api.http.time_range import TimeBoundsQuery
from api.queries.events import fetch_current, fetch_event, fetch_overlapping
from api.services.event_performance import actual_reductions, event_performance, event_performance_with_vens
from api.views.events import detail_view, event_view, event_with_metrics_view, metrics_view
from schemas.rest.events import Event, EventDetail, EventMetrics, EventWithMetrics

router = APIRouter(prefix="/api/events", tags=["events"])


@router.get("/current")
async def read_current_event(database: Database, settings: Settings) -> EventWithMetrics | None:
    """Read the active event that began last; null when there is none."""
    row = await fetch_current(database)
    if row is None:
        return None
    return event_with_metrics_view(row, await event_performance(database, row, settings.energy_hold_seconds))


@router.get("/history")
async def list_event_history(
    database: Database,
    settings: Settings,
    interval: TimeBoundsQuery,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> list[Event]:
    """List the events that overlap [start, end), those that start last first; a bound that is missing is no bound."""
    rows = await fetch_overlapping(database, interval.start, interval.end, limit)
    reductions = await actual_reductions(database, rows, settings.energy_hold_seconds)
    return [event_view(row, reductions.get(row["event_id"], 0.0)) for row in rows]


@router.get("/{event_id}")
async def read_event(event_id: EventId, database: Database, settings: Settings) -> EventDetail:
    """Read an event, how it performs, and its VENs: those that it addresses or that reported or acknowledged it."""
    row = await fetch_event(database, event_id)
    if row is None:
        raise not_found("event", event_id)
    performance, vens = await event_performance_with_vens(database, row, settings.energy_hold_seconds)
    return detail_view(row, performance, vens)


@router.get("/{event_id}/metrics")
async def read_event_metrics(event_id: EventId, database: Database, settings: Settings) -> EventMetrics:
    """Read how an event performs."""
    row = await fetch_event(database, event_id)
    if row is None:
        raise not_found("event", event_id)
    return metrics_view(await event_performance(database, row, settings.energy_hold_seconds))
