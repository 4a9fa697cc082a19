"""A short summary of each VEN."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Database, Settings
from api.http.pagination import Cursor, add_next_link
from api.queries.acks import fetch_response_times
from api.queries.vens import fetch_vens
from api.views.vens import summary_view
from schemas.rest.vens import VenSummary

router = APIRouter(prefix="/api/vens", tags=["vens"])


@router.get("/summary")
async def summarise_vens(
    request: Request,
    response: Response,
    database: Database,
    settings: Settings,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    cursor: Cursor = "",
) -> list[VenSummary]:
    """List summaries of VENs ordered by id, at most `limit`; a Link header names the next page."""
    rows = await fetch_vens(database, settings.offline_after_seconds, after=cursor, limit=limit + 1)
    if len(rows) > limit:
        add_next_link(request, response, limit=limit, cursor=rows[limit - 1]["ven_id"])
    times = await fetch_response_times(database, [row["ven_id"] for row in rows[:limit]])
    return [summary_view(row, *times.get(row["ven_id"], (0, 0))) for row in rows[:limit]]
