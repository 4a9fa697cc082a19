"""The network's live totals as REST and the live feed show them."""

from datetime import UTC, datetime

from api.http.problems import UnavailableError
from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from schemas.records.network import NetworkTotals
from schemas.rest.stats import LoadTypeStats, NetworkStats


def network_stats_view(live: LiveTotals, energy: EnergyToday) -> NetworkStats:
    """Show the latest totals.

    Raises:
        UnavailableError: the totals or the size of the registry are not known yet.
    """
    latest = _latest(live)
    if live.registered_vens is None:
        raise UnavailableError("the VENs have not been counted yet; check that the database answers")
    totals = latest.totals
    online = totals.online_vens
    # The count is some seconds older or younger than the totals; an online VEN is always registered.
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
        total_house_power_today=energy.kwh(datetime.now(UTC)),
        as_of=latest.as_of,
    )


def load_stats_view(live: LiveTotals) -> list[LoadTypeStats]:
    """Show the latest totals by load type.

    Raises:
        UnavailableError: they are not known yet.
    """
    return [
        LoadTypeStats(
            type=name,
            total_capacity_kw=totals.total_capacity_kw,
            total_shed_capability_kw=totals.total_shed_capability_kw,
            current_usage_kw=totals.current_usage_kw,
        )
        for name, totals in sorted(_latest(live).load_types.items())
    ]


def _latest(live: LiveTotals) -> NetworkTotals:
    if live.latest is None:
        raise UnavailableError("no live totals yet; check that the stream role `live` runs")
    return live.latest
