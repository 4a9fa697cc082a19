"""The acks of a VEN: all, or those that belong to DR events."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import Database, VenId
from api.http.time_range import TimeBounds, TimeBoundsQuery
from api.queries.acks import fetch_acks_of_ven
from api.routers.preconditions import require_ven
from api.views.acks import ack_view
from runtime.database import Pool
from schemas.rest.acks import VenEventAck

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["acks"])

Limit = Annotated[int, Query(ge=1, le=5000)]


@router.get("/acks")
async def list_ven_acks(
    ven_id: VenId, database: Database, bounds: TimeBoundsQuery, limit: Limit = 1000
) -> list[VenEventAck]:
    """List the newest acks of a VEN in [start, end), newest first; a missing bound is no bound."""
    return await _acks(database, ven_id, bounds, limit, of_events=False)


@router.get("/events")
async def list_ven_events(
    ven_id: VenId, database: Database, bounds: TimeBoundsQuery, limit: Limit = 1000
) -> list[VenEventAck]:
    """List the acks of a VEN that belong to an event, also to a deleted one."""
    return await _acks(database, ven_id, bounds, limit, of_events=True)


async def _acks(database: Pool, ven_id: str, bounds: TimeBounds, limit: int, *, of_events: bool) -> list[VenEventAck]:
    await require_ven(database, ven_id)
    rows = await fetch_acks_of_ven(database, ven_id, bounds, limit, of_events=of_events)
    return [ack_view(row) for row in rows]
