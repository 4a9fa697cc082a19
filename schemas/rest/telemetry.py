"""Readings of a VEN as they were measured."""

from datetime import datetime

from schemas.rest.model import RestModel


class TelemetryRow(RestModel):
    """One reading; power in kW, state of charge from 0 to 1."""

    timestamp: datetime
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float | None
    event_id: str | None
    battery_soc: float | None
    baseline_power_kw: float | None


class Telemetry(RestModel):
    """The newest readings that match, oldest first; `total_count` is how many match."""

    total_count: int
    telemetry: list[TelemetryRow]
