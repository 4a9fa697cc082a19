"""Time series of VENs, their loads and the network."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, status

from api.deps import Database, VenId
from api.queries.history import fetch_listed_loads, fetch_load_history, fetch_network_history, fetch_ven_history
from api.queries.vens import ven_exists
from schemas.rest.history import CircuitsHistory, History, LoadSnapshotRow, TimeseriesPoint
from schemas.rest.model import Moment
from schemas.rollups import WIDTHS, Granularity, floor_to

router = APIRouter(tags=["history"])

DEFAULT_INTERVAL = timedelta(hours=24)
MOST_POINTS = 50_000

LoadId = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]
Width = Annotated[Granularity, Query(description="Width of a bucket.")]


class Interval:
    """[start, end) of a request; without bounds the last 24 hours, from the beginning of a minute on."""

    def __init__(self, start: Moment | None = None, end: Moment | None = None) -> None:
        self.end = end or datetime.now(UTC)
        try:
            self.start = start or floor_to(self.end - DEFAULT_INTERVAL, timedelta(minutes=1))
        except OverflowError:
            self.start = self.end
        if self.end < self.start:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "end is before start")

    def check(self, granularity: Granularity) -> None:
        """Refuse what nobody can draw."""
        points = (self.end - self.start) / WIDTHS[granularity]
        if points > MOST_POINTS:
            detail = (
                f"{points:.0f} buckets of {granularity}; at most {MOST_POINTS} are given: choose a wider granularity"
            )
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, detail)


Within = Annotated[Interval, Depends()]


@router.get("/api/vens/{ven_id}/history", response_model_exclude_none=True)
async def ven_history(ven_id: VenId, database: Database, within: Within, granularity: Width = "5m") -> History:
    """Read a VEN's buckets in [start, end)."""
    within.check(granularity)
    await _know(database, ven_id)
    return _history(await fetch_ven_history(database, ven_id, within.start, within.end, granularity))


@router.get("/api/vens/{ven_id}/loads/{load_id}/history", response_model_exclude_none=True)
async def load_history(
    ven_id: VenId, load_id: LoadId, database: Database, within: Within, granularity: Width = "5m"
) -> History:
    """Read a load's buckets in [start, end): its power, and what it could shed."""
    within.check(granularity)
    await _know(database, ven_id)
    return _history(await fetch_load_history(database, ven_id, load_id, within.start, within.end, granularity))


@router.get("/api/vens/{ven_id}/circuits/history")
async def circuits_history(
    ven_id: VenId,
    database: Database,
    within: Within,
    load_id: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> CircuitsHistory:
    """Read a VEN's loads as its readings and load snapshots listed them in [start, end)."""
    await _know(database, ven_id)
    total, rows = await fetch_listed_loads(database, ven_id, load_id, within.start, within.end, limit)
    return CircuitsHistory(ven_id=ven_id, load_id=load_id, snapshots=[_listed(row) for row in rows], total_count=total)


@router.get("/api/stats/network/history", tags=["stats"], response_model_exclude_none=True)
async def network_history(database: Database, within: Within, granularity: Width = "5m") -> History:
    """Read the network's buckets in [start, end); what came late for a bucket is in it some seconds later."""
    within.check(granularity)
    return _history(await fetch_network_history(database, within.start, within.end, granularity))


async def _know(database: Any, ven_id: str) -> None:
    if not await ven_exists(database, ven_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no VEN {ven_id}")


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
