"""Figures of the whole network."""

from datetime import datetime

from schemas.rest.model import RestModel


class NetworkStats(RestModel):
    """Live totals over online VENs, in kW, as they stood at `as_of`."""

    ven_count: int
    online_vens: int
    controllable_power_kw: float
    potential_load_reduction_kw: float
    household_usage_kw: float
    current_load_reduction_kw: float
    network_efficiency: float | None
    average_house_power: float | None
    as_of: datetime


class LoadTypeStats(RestModel):
    """What the loads of one type add up to over online VENs, in kW."""

    type: str
    total_capacity_kw: float
    total_shed_capability_kw: float
    current_usage_kw: float
