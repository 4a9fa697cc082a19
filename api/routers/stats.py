"""Figures of the whole network, from memory."""

from fastapi import APIRouter

from api.deps import Database, Live, Settings
from api.problems import UnavailableError
from api.queries.load_types import fetch_load_types
from schemas.rest.stats import LoadTypeStats, NetworkStats

router = APIRouter(prefix="/api/stats", tags=["stats"])


@router.get("/network", operation_id="readNetworkStats", response_model_exclude_none=True)
async def network(live: Live) -> NetworkStats:
    """Read the live totals; `asOf` says how old they are."""
    if live.latest is None or live.registered_vens is None:
        raise UnavailableError("no live totals yet; check that the stream role `live` runs")
    totals = live.latest.totals
    online = totals.online_vens
    # The totals are older than the count by some seconds: a VEN is never online before it is counted.
    registered = max(live.registered_vens, online)
    return NetworkStats(
        ven_count=registered,
        online_vens=online,
        controllable_power_kw=totals.controllable_power_kw,
        potential_load_reduction_kw=totals.potential_load_reduction_kw,
        household_usage_kw=totals.household_usage_kw,
        current_load_reduction_kw=totals.current_load_reduction_kw,
        network_efficiency=100 * online / registered if registered else None,
        average_house_power=totals.household_usage_kw / online if online else None,
        as_of=live.latest.as_of,
    )


@router.get("/loads", operation_id="readLoadStats")
async def load_types(database: Database, settings: Settings) -> list[LoadTypeStats]:
    """Read what the loads of all online VENs add up to, by their type."""
    rows = await fetch_load_types(database, settings.offline_after_seconds)
    return [LoadTypeStats(**dict(row)) for row in rows]
