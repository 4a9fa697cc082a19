"""Time series: buckets of a VEN, a load or the network, and a load as it was listed."""

from datetime import datetime

from pydantic import Field

from schemas.rest.model import Figure, RestModel, example

_POINT = {
    "timestamp": "2025-10-23T17:05:00Z",
    "usedPowerKw": 8.2,
    "shedPowerKw": 4.8,
    "eventId": "evt-1f0c9a3b",
    "requestedReductionKw": 5.0,
}
_ROW = {
    "timestamp": "2025-10-23T17:05:00Z",
    "loadId": "hvac1",
    "name": "HVAC",
    "type": "hvac",
    "capacityKw": 7.2,
    "currentPowerKw": 2.1,
    "shedCapabilityKw": 2.1,
    "enabled": True,
    "priority": 5,
}


def _is_none(value: object) -> bool:
    return value is None


class TimeseriesPoint(RestModel):
    """One bucket, by its beginning; power in kW.

    Of a VEN the mean of its samples, of the network the sum over VENs of their means; of a load `used_power_kw` is its
    power and `shed_power_kw` what it could shed. The event and what it asks for are the last that a sample named.
    A power that no sample told is null; an event and a request that none named are left out.
    """

    model_config = example(_POINT)

    timestamp: datetime
    used_power_kw: Figure | None
    shed_power_kw: Figure | None
    event_id: str | None = Field(None, exclude_if=_is_none)
    requested_reduction_kw: Figure | None = Field(None, exclude_if=_is_none)


class History(RestModel):
    """Buckets in order of time; those without samples are left out."""

    model_config = example({"points": [_POINT]})

    points: list[TimeseriesPoint]


class LoadSnapshotRow(RestModel):
    """One load as it was listed at a time, by a reading or a load snapshot; power in kW, null where it was not told."""

    model_config = example(_ROW)

    timestamp: datetime
    load_id: str
    name: str
    type: str
    capacity_kw: Figure | None
    current_power_kw: Figure | None
    shed_capability_kw: Figure | None
    enabled: bool
    priority: int | None


class CircuitsHistory(RestModel):
    """The newest rows that match, oldest first; `total_count` is how many match."""

    model_config = example({"venId": "ven-001", "loadId": None, "snapshots": [_ROW], "totalCount": 1})

    ven_id: str
    load_id: str | None = Field(description="The load that was asked for; null for all.")
    snapshots: list[LoadSnapshotRow]
    total_count: int
