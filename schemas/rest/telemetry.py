"""Readings of a VEN as they were measured."""

from datetime import datetime

from schemas.rest.model import Figure, RestModel, example

_ROW = {
    "timestamp": "2025-10-23T17:05:00Z",
    "usedPowerKw": 8.2,
    "shedPowerKw": 4.8,
    "requestedReductionKw": 5.0,
    "eventId": "evt-1f0c9a3b",
    "batterySoc": 0.85,
    "baselinePowerKw": 13.0,
}


class TelemetryRow(RestModel):
    """One reading; power in kW, state of charge from 0 to 1."""

    model_config = example(_ROW)

    timestamp: datetime
    used_power_kw: Figure | None
    shed_power_kw: Figure | None
    requested_reduction_kw: Figure | None
    event_id: str | None
    battery_soc: Figure | None
    baseline_power_kw: Figure | None


class Telemetry(RestModel):
    """The newest readings that match, oldest first; `total_count` is how many match."""

    model_config = example({"totalCount": 1, "telemetry": [_ROW]})

    total_count: int
    telemetry: list[TelemetryRow]


class RemovedTelemetry(RestModel):
    """How many readings and load snapshots were removed."""

    model_config = example({"removedReadings": 12, "removedLoadSnapshots": 2})

    removed_readings: int
    removed_load_snapshots: int
