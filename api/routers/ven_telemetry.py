"""The readings of a VEN."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth.audit import CurrentAction
from api.dependencies import Database, VenId
from api.http.problems import unprocessable
from api.http.time_range import TimeBoundsQuery
from api.queries.telemetry import fetch_telemetry
from api.queries.telemetry_removal import remove_piece
from api.routers.preconditions import require_ven
from schemas.rest.model import Moment
from schemas.rest.telemetry import RemovedTelemetry, Telemetry, TelemetryRow

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


@router.delete("/{ven_id}/telemetry")
async def remove_telemetry(
    ven_id: VenId, database: Database, action: CurrentAction, start: Moment, end: Moment
) -> RemovedTelemetry:
    """Remove a VEN's readings and load snapshots in [start, end), because they were wrong.

    Minutes, histories, the energy of the day and settled events are computed again within seconds. A long range takes a
    while; if it is interrupted, what is left can be removed by the same call.
    """
    if end <= start:
        raise unprocessable("end is not after start")
    await require_ven(database, ven_id)
    readings = snapshots = 0
    begin: datetime | None = start
    while begin is not None:
        async with database.acquire() as connection, connection.transaction():
            removed = await remove_piece(connection, ven_id, begin, end)
        readings, snapshots, begin = readings + removed.readings, snapshots + removed.snapshots, removed.next_begin
    action.result = f"{readings} readings from {start.isoformat()} to {end.isoformat()}"
    async with action.transaction(database):
        return RemovedTelemetry(removed_readings=readings, removed_load_snapshots=snapshots)


def _calendar_safe(end: datetime) -> datetime:
    """Return `end`, or the earliest time that DEFAULT_RANGE can be subtracted from: years begin with 1."""
    return max(end, datetime.min.replace(tzinfo=UTC) + DEFAULT_RANGE)


def _without_time(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "time"}
