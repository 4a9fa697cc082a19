"""Figures of the whole network."""

from datetime import datetime

from schemas.rest.model import Figure, RestModel, example


class NetworkStats(RestModel):
    """Live totals over online VENs, in kW, as they stood at `as_of`; energy since midnight UTC in kWh."""

    model_config = example(
        {
            "venCount": 200,
            "onlineVens": 196,
            "controllablePowerKw": 402.7,
            "potentialLoadReductionKw": 664.7,
            "householdUsageKw": 834.7,
            "currentLoadReductionKw": 231.4,
            "networkEfficiency": 98.0,
            "averageHousePower": 4.26,
            "totalHousePowerToday": 13207.5,
            "asOf": "2025-10-23T17:05:00.512000Z",
        }
    )

    ven_count: int
    online_vens: int
    controllable_power_kw: Figure
    potential_load_reduction_kw: Figure
    household_usage_kw: Figure
    current_load_reduction_kw: Figure
    network_efficiency: Figure | None = None
    average_house_power: Figure | None = None
    total_house_power_today: Figure | None = None
    as_of: datetime


class LoadTypeStats(RestModel):
    """What the loads of one type add up to over online VENs, in kW."""

    model_config = example(
        {"type": "hvac", "totalCapacityKw": 1411.2, "totalShedCapabilityKw": 402.3, "currentUsageKw": 417.8}
    )

    type: str
    total_capacity_kw: Figure
    total_shed_capability_kw: Figure
    current_usage_kw: Figure
