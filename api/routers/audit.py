"""The audit, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Database
from api.http.pagination import add_next_link
from api.http.time_range import TimeBoundsQuery
from api.queries.audit import fetch_entries
from schemas.rest.access import AuditEntry

router = APIRouter(prefix="/api/audit", tags=["access"])

Cursor = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="From the Link header of the previous page.")]


@router.get("")
async def list_audit(
    request: Request,
    response: Response,
    database: Database,
    bounds: TimeBoundsQuery,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = None,
    who: Annotated[
        str | None,
        Query(
            max_length=256,
            pattern=r"^[^\x00]+$",
            description="Only actions of the key, token or user with this id.",
            examples=["key-1f0c9a3b"],
        ),
    ] = None,
) -> list[AuditEntry]:
    """List the audited actions in [start, end), newest first, at most `limit`; a Link header names the next page."""
    rows = await fetch_entries(database, before=cursor, who=who, bounds=bounds, limit=limit + 1)
    if len(rows) > limit:
        start, end = (None if bound is None else bound.isoformat() for bound in bounds)
        add_next_link(request, response, limit=limit, who=who, start=start, end=end, cursor=rows[limit - 1]["id"])
    return [AuditEntry(**dict(row)) for row in rows[:limit]]
