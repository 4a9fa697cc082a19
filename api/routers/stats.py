"""Figures of the whole network, from memory."""

from fastapi import APIRouter

from api.dependencies import Energy, Live
from api.http.problems import UnavailableError
from api.services.live_totals import LiveTotals
from schemas.records.network import NetworkTotals
from schemas.rest.stats import LoadTypeStats, NetworkStats

router = APIRouter(prefix="/api/stats", tags=["stats"])


@router.get("/network", operation_id="readNetworkStats", response_model_exclude_none=True)
async def network(live: Live, energy: Energy) -> NetworkStats:
    """Read the live totals; `asOf` says how old they are."""
    latest = _latest(live)
    if live.registered_vens is None:
        raise UnavailableError("the VENs have not been counted yet; check that the database answers")
    totals = latest.totals
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
        total_house_power_today=energy.kwh(latest.as_of, totals.household_usage_kw),
        as_of=latest.as_of,
    )


@router.get("/loads", operation_id="readLoadStats")
async def load_types(live: Live) -> list[LoadTypeStats]:
    """Read what the loads of all online VENs add up to, by their type; loads without one are `other`."""
    return [
        LoadTypeStats(
            type=name,
            total_capacity_kw=of.total_capacity_kw,
            total_shed_capability_kw=of.total_shed_capability_kw,
            current_usage_kw=of.current_usage_kw,
        )
        for name, of in sorted(_latest(live).load_types.items())
    ]


def _latest(live: LiveTotals) -> NetworkTotals:
    if live.latest is None:
        raise UnavailableError("no live totals yet; check that the stream role `live` runs")
    return live.latest
