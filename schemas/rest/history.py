"""Time series: buckets of a VEN, a load or the network, and a load as it was listed."""

from datetime import datetime

from pydantic import Field

from schemas.rest.model import RestModel


class TimeseriesPoint(RestModel):
    """One bucket, by its beginning; power in kW.

    Of a VEN the mean of its samples, of the network the sum over VENs of their means; of a load `used_power_kw` is its
    power and `shed_power_kw` what it could shed. The event and what it asks for are the last that a sample named.
    """

    timestamp: datetime
    used_power_kw: float
    shed_power_kw: float
    event_id: str | None = None
    requested_reduction_kw: float | None = None


class History(RestModel):
    """Buckets in order of time; those without samples are left out."""

    points: list[TimeseriesPoint]


class LoadSnapshotRow(RestModel):
    """One load as it was listed at a time, by a reading or a load snapshot; power in kW."""

    timestamp: datetime
    load_id: str
    name: str
    type: str
    capacity_kw: float
    current_power_kw: float
    shed_capability_kw: float
    enabled: bool
    priority: int


class CircuitsHistory(RestModel):
    """The newest rows that match, oldest first; `total_count` is how many match."""

    ven_id: str
    load_id: str | None = Field(description="The load that was asked for; null for all.")
    snapshots: list[LoadSnapshotRow]
    total_count: int
