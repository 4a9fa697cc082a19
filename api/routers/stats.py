"""Live totals of the network, from memory."""

from fastapi import APIRouter

from api.dependencies import Energy, Live
from api.views.stats import load_stats_view, network_stats_view
from schemas.rest.stats import LoadTypeStats, NetworkStats

router = APIRouter(prefix="/api/stats", tags=["stats"])


@router.get("/network", operation_id="readNetworkStats", response_model_exclude_none=True)
async def read_network_stats(live: Live, energy: Energy) -> NetworkStats:
    """Read the live totals of all online VENs; `asOf` says how old they are."""
    return network_stats_view(live, energy)


@router.get("/loads", operation_id="readLoadStats")
async def read_load_stats(live: Live) -> list[LoadTypeStats]:
    """Read the live totals of the loads of all online VENs by load type; loads without a type are `other`."""
    return load_stats_view(live)
