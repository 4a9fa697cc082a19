"""The readings of a VEN."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.dependencies import Database, VenId
from api.http.time_range import TimeBoundsQuery
from api.queries.telemetry import fetch_telemetry
from api.routers.preconditions import require_ven
from schemas.rest.telemetry import Telemetry, TelemetryRow

router = APIRouter(prefix="/api/vens", tags=["vens"])

DEFAULT_RANGE = timedelta(hours=24)


@router.get("/{ven_id}/telemetry")
async def read_telemetry(
    ven_id: VenId,
    database: Database,
    bounds: TimeBoundsQuery,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Telemetry:
    """Read a VEN's readings in [start, end); without bounds, those of the last 24 hours."""
    start, end = bounds
    if start is None:
        start = (datetime.now(UTC) if end is None else _calendar_safe(end)) - DEFAULT_RANGE
    await require_ven(database, ven_id)
    total, rows = await fetch_telemetry(database, ven_id, start, end, limit)
    return Telemetry(
        total_count=total, telemetry=[TelemetryRow(timestamp=row["time"], **_without_time(row)) for row in rows]
    )


def _calendar_safe(end: datetime) -> datetime:
    """Return `end`, or the earliest time that DEFAULT_RANGE can be subtracted from: years begin with 1."""
    return max(end, datetime.min.replace(tzinfo=UTC) + DEFAULT_RANGE)


def _without_time(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "time"}
