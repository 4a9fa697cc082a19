"""A VEN's readings as they were measured."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.dependencies import Database, VenId
from api.http.time_range import TimeBoundsQuery
from api.queries.telemetry import fetch_telemetry
from api.routers.preconditions import require_ven
from schemas.rest.telemetry import Telemetry, TelemetryRow

router = APIRouter(prefix="/api/vens", tags=["vens"])

DEFAULT_INTERVAL = timedelta(hours=24)


@router.get("/{ven_id}/telemetry")
async def read_telemetry(
    ven_id: VenId,
    database: Database,
    interval: TimeBoundsQuery,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Telemetry:
    """Read a VEN's readings in [start, end); without bounds those of the last 24 hours."""
    start, end = interval
    if start is None:
        start = (datetime.now(UTC) if end is None else _not_before_first(end)) - DEFAULT_INTERVAL
    await require_ven(database, ven_id)
    total, rows = await fetch_telemetry(database, ven_id, start, end, limit)
    return Telemetry(
        total_count=total, telemetry=[TelemetryRow(timestamp=row["time"], **_without_time(row)) for row in rows]
    )


def _not_before_first(end: datetime) -> datetime:
    """Python's calendar begins in year 1."""
    return max(end, datetime.min.replace(tzinfo=UTC) + DEFAULT_INTERVAL)


def _without_time(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "time"}
