"""VENs: list and read."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request, Response, status

from api.deps import Database, Settings, VenId
from api.queries.telemetry import fetch_telemetry
from api.queries.vens import fetch_ven, fetch_vens, ven_exists
from schemas.readings import Load
from schemas.rest.model import Moment
from schemas.rest.telemetry import Telemetry, TelemetryRow
from schemas.rest.vens import Location, RestLoad, Ven, VenMetrics

router = APIRouter(prefix="/api/vens", tags=["vens"])

DEFAULT_INTERVAL = timedelta(hours=24)
_decode_loads = msgspec.json.Decoder(tuple[Load, ...]).decode


@router.get("")
async def list_vens(
    request: Request,
    response: Response,
    database: Database,
    settings: Settings,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    cursor: Annotated[str, Query(max_length=128, pattern=r"^[^\x00]*$", description="From a Link header.")] = "",
) -> list[Ven]:
    """List VENs ordered by id, at most `limit`; where there are more, a Link header names the next page."""
    rows = await fetch_vens(database, settings.offline_after_seconds, after=cursor, limit=limit + 1)
    if len(rows) > limit:
        query = urlencode({"limit": limit, "cursor": rows[limit - 1]["ven_id"]})
        response.headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return [_ven(row) for row in rows[:limit]]


@router.get("/{ven_id}")
async def read_ven(ven_id: VenId, database: Database, settings: Settings) -> Ven:
    """Read one VEN with its latest values."""
    row = await fetch_ven(database, ven_id, settings.offline_after_seconds)
    if row is None:
        raise _unknown(ven_id)
    return _ven(row)


@router.get("/{ven_id}/telemetry")
async def read_telemetry(
    ven_id: VenId,
    database: Database,
    start: Moment | None = None,
    end: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Telemetry:
    """Read a VEN's readings in [start, end); without bounds those of the last 24 hours."""
    if start is None:
        start = (datetime.now(UTC) if end is None else _not_before_first(end)) - DEFAULT_INTERVAL
    if end is not None and end < start:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "end is before start")
    if not await ven_exists(database, ven_id):
        raise _unknown(ven_id)
    total, rows = await fetch_telemetry(database, ven_id, start, end, limit)
    return Telemetry(
        total_count=total, telemetry=[TelemetryRow(timestamp=row["time"], **_without_time(row)) for row in rows]
    )


def _not_before_first(end: datetime) -> datetime:
    """Python's calendar begins in year 1."""
    return max(end, datetime.min.replace(tzinfo=UTC) + DEFAULT_INTERVAL)


def _without_time(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "time"}


def _unknown(ven_id: str) -> HTTPException:
    return HTTPException(status.HTTP_404_NOT_FOUND, f"there is no VEN {ven_id}")


def _ven(row: Any) -> Ven:
    loads = _decode_loads(row["loads"]) if row["loads"] else ()
    return Ven(
        id=row["ven_id"],
        name=row["name"],
        status=row["status"],
        location=Location(lat=row["latitude"], lon=row["longitude"]),
        metrics=VenMetrics(
            current_power_kw=row["used_power_kw"] or 0.0,
            shed_availability_kw=sum(load.shed_capability_kw or 0.0 for load in loads if load.enabled),
            active_event_id=row["event_id"],
            shed_load_ids=[],
        ),
        created_at=row["created_at"],
        last_seen=row["received_at"],
        loads=[_load(load) for load in loads],
        measured_at=row["measured_at"],
        clock_skew_seconds=row["clock_skew_seconds"],
        reported_status=row["reported_status"],
    )


def _load(load: Load) -> RestLoad:
    return RestLoad(
        id=load.id,
        type=load.type or "other",
        name=load.name or load.id,
        capacity_kw=load.capacity_kw or 0.0,
        shed_capability_kw=load.shed_capability_kw or 0.0,
        current_power_kw=load.current_power_kw or 0.0,
        enabled=load.enabled,
        priority=load.priority or 0,
    )
