"""Time series of VENs, their loads and the network."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.dependencies import Database, LoadId, OpenBuckets, VenId
from api.http.problems import unprocessable
from api.http.time_range import TimeRangeQuery
from api.queries.history import (
    fetch_closed_network,
    fetch_listed_loads,
    fetch_load_history,
    fetch_network_history,
    fetch_ven_history,
)
from api.routers.preconditions import require_ven
from runtime.database import Pool
from schemas.rest.history import CircuitsHistory, History, LoadSnapshotRow, TimeseriesPoint
from schemas.tables.buckets import WIDTHS, Granularity, floor_to

router = APIRouter(tags=["history"])

MOST_POINTS = 50_000

Width = Annotated[Granularity, Query(description="Width of a bucket.")]


@router.get("/api/vens/{ven_id}/history", response_model_exclude_none=True)
async def ven_history(ven_id: VenId, database: Database, within: TimeRangeQuery, granularity: Width = "5m") -> History:
    """Read a VEN's buckets in [start, end)."""
    await _check(database, ven_id, within, granularity)
    return _history(await fetch_ven_history(database, ven_id, within.start, within.end, granularity))


@router.get("/api/vens/{ven_id}/loads/{load_id}/history", response_model_exclude_none=True)
async def load_history(
    ven_id: VenId, load_id: LoadId, database: Database, within: TimeRangeQuery, granularity: Width = "5m"
) -> History:
    """Read a load's buckets in [start, end): its power, and what it could shed."""
    await _check(database, ven_id, within, granularity)
    return _history(await fetch_load_history(database, ven_id, load_id, within.start, within.end, granularity))


@router.get("/api/vens/{ven_id}/circuits/history")
async def circuits_history(
    ven_id: VenId,
    database: Database,
    within: TimeRangeQuery,
    load_id: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> CircuitsHistory:
    """Read a VEN's loads as its readings and load snapshots listed them in [start, end)."""
    await _check(database, ven_id, within)
    total, rows = await fetch_listed_loads(database, ven_id, load_id, within.start, within.end, limit)
    return CircuitsHistory(ven_id=ven_id, load_id=load_id, snapshots=[_listed(row) for row in rows], total_count=total)


@router.get("/api/stats/network/history", tags=["stats"], response_model_exclude_none=True)
async def network_history(
    database: Database, under_way: OpenBuckets, within: TimeRangeQuery, granularity: Width = "5m"
) -> History:
    """Read the network's buckets in [start, end); what came late for a bucket is in it some seconds later.

    Without `start`, the first bucket is a whole one. The one under way is up to two seconds old.
    """
    _check_points(within, granularity)
    start = within.start if within.start_given else floor_to(within.start, WIDTHS[granularity])
    if within.end_given and within.end < datetime.now(UTC):
        return _history(await fetch_network_history(database, start, within.end, granularity))
    points, last = await fetch_closed_network(database, start, within.end, granularity)
    return _history(points + await under_way.since(last, granularity))


async def _check(database: Pool, ven_id: str, within: TimeRangeQuery, granularity: Granularity | None = None) -> None:
    if granularity is not None:
        _check_points(within, granularity)
    await require_ven(database, ven_id)


def _check_points(within: TimeRangeQuery, granularity: Granularity) -> None:
    """Refuse what nobody can draw."""
    points = (within.end - within.start) / WIDTHS[granularity]
    if points > MOST_POINTS:
        raise unprocessable(f"{points:.0f} buckets of {granularity}, of at most {MOST_POINTS}: choose wider ones")


def _history(rows: list[Any]) -> History:
    return History(points=[_point(dict(row)) for row in rows])


def _point(row: dict[str, Any]) -> TimeseriesPoint:
    return TimeseriesPoint(**{**row, "shed_power_kw": row["shed_power_kw"] or 0.0})


def _listed(row: Any) -> LoadSnapshotRow:
    return LoadSnapshotRow(
        timestamp=row["time"],
        load_id=row["load_id"],
        name=row["name"] or row["load_id"],
        type=row["type"] or "other",
        capacity_kw=row["capacity_kw"] or 0.0,
        current_power_kw=row["current_power_kw"] or 0.0,
        shed_capability_kw=row["shed_capability_kw"] or 0.0,
        enabled=row["enabled"],
        priority=row["priority"] or 0,
    )
