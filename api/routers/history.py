"""Time series of VENs, their loads and the network."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import Database, LoadId, OpenBuckets, VenId
from api.http.problems import unprocessable
from api.http.time_range import TimeRange, TimeRangeQuery
from api.queries.load_history import fetch_listed_loads, fetch_load_history
from api.queries.network_history import fetch_closed_network, fetch_network_history
from api.queries.ven_history import fetch_ven_history
from api.routers.preconditions import require_ven
from api.views.history import history_view, listed_load_view
from schemas.rest.history import CircuitsHistory, History
from schemas.rest.values import IgnoresCase
from schemas.tables.buckets import WIDTHS, Granularity, floor_to

router = APIRouter(tags=["history"])

MAX_POINTS = 50_000

Width = Annotated[Granularity, IgnoresCase, Query(description="Width of a bucket.")]


@router.get("/api/vens/{ven_id}/history")
async def ven_history(ven_id: VenId, database: Database, within: TimeRangeQuery, granularity: Width = "5m") -> History:
    """Read a VEN's buckets in [start, end)."""
    _check_points(within, granularity)
    await require_ven(database, ven_id)
    return history_view(await fetch_ven_history(database, ven_id, within.start, within.end, granularity))


@router.get("/api/vens/{ven_id}/loads/{load_id}/history")
async def load_history(
    ven_id: VenId, load_id: LoadId, database: Database, within: TimeRangeQuery, granularity: Width = "5m"
) -> History:
    """Read a load's buckets in [start, end): its power, and what it could shed."""
    _check_points(within, granularity)
    await require_ven(database, ven_id)
    return history_view(await fetch_load_history(database, ven_id, load_id, within.start, within.end, granularity))


@router.get("/api/vens/{ven_id}/circuits/history")
async def circuits_history(
    ven_id: VenId,
    database: Database,
    within: TimeRangeQuery,
    load_id: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> CircuitsHistory:
    """Read a VEN's loads as its readings and load snapshots listed them in [start, end)."""
    await require_ven(database, ven_id)
    total, rows = await fetch_listed_loads(database, ven_id, load_id, within.start, within.end, limit)
    snapshots = [listed_load_view(row) for row in rows]
    return CircuitsHistory(ven_id=ven_id, load_id=load_id, snapshots=snapshots, total_count=total)


@router.get("/api/stats/network/history", tags=["stats"])
async def network_history(
    database: Database, open_buckets: OpenBuckets, within: TimeRangeQuery, granularity: Width = "5m"
) -> History:
    """Read the network's buckets in [start, end). Late data is included some seconds after it arrives.

    Without `start`, the first bucket is complete. The current bucket is up to two seconds old.
    """
    _check_points(within, granularity)
    start = within.start if within.start_given else floor_to(within.start, WIDTHS[granularity])
    if within.end_given and within.end < datetime.now(UTC):
        return history_view(await fetch_network_history(database, start, within.end, granularity))
    points, closed_to = await fetch_closed_network(database, start, within.end, granularity)
    return history_view(points + await open_buckets.since(closed_to, granularity))


def _check_points(within: TimeRange, granularity: Granularity) -> None:
    points = (within.end - within.start) / WIDTHS[granularity]
    if points > MAX_POINTS:
        raise unprocessable(
            f"{points:.0f} buckets of {granularity} are more than {MAX_POINTS}; choose a wider granularity"
        )
