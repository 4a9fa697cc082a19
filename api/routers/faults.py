"""Fault reports of VENs."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import Database, VenId
from api.http.time_range import TimeBoundsQuery
from api.queries.faults import fetch_faults
from api.routers.preconditions import require_ven
from schemas.rest.faults import Fault, Faults

router = APIRouter(prefix="/api/vens", tags=["vens"])


@router.get("/{ven_id}/faults")
async def read_faults(
    ven_id: VenId,
    database: Database,
    bounds: TimeBoundsQuery,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Faults:
    """Read a VEN's fault reports in [start, end); a missing bound is no bound."""
    await require_ven(database, ven_id)
    total, rows = await fetch_faults(database, ven_id, bounds, limit)
    return Faults(
        total_count=total,
        faults=[Fault(timestamp=row["time"], received_at=row["received_at"], error=row["error"]) for row in rows],
    )
