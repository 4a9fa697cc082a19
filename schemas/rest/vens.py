"""A VEN as dashboards see it."""

from datetime import datetime

from schemas.rest.model import RestModel


class Location(RestModel):
    """Degrees, WGS 84."""

    lat: float
    lon: float


class RestLoad(RestModel):
    """One circuit; power in kW."""

    id: str
    type: str
    name: str
    capacity_kw: float
    shed_capability_kw: float
    current_power_kw: float
    enabled: bool
    priority: int


class VenMetrics(RestModel):
    """What the VEN does now; `shed_availability_kw` is the sum over its enabled loads."""

    current_power_kw: float
    shed_availability_kw: float
    active_event_id: str | None
    shed_load_ids: list[str]


class Ven(RestModel):
    """`last_seen` is when its last message was received, null when it was never heard.

    `measured_at` is when the latest values were measured by the VEN's clock, `clock_skew_seconds` how much later they
    were received, and `reported_status` what the VEN last said of itself.
    """

    id: str
    name: str
    status: str
    location: Location
    metrics: VenMetrics
    created_at: datetime
    last_seen: datetime | None
    loads: list[RestLoad]
    measured_at: datetime | None
    clock_skew_seconds: float | None
    reported_status: str | None
