"""A VEN as dashboards see it, and what operators say of it."""

from datetime import datetime

from pydantic import Field

from schemas.rest.loads import LOAD, RestLoad
from schemas.rest.model import Figure, RestModel, example
from schemas.rest.request_body import RequestBody
from schemas.rest.values import Latitude, Longitude, MaxPower, Name, NewVenId, ReportInterval, Status

_PLACE = {"lat": 37.42, "lon": -122.08}
_METRICS = {
    "currentPowerKw": 8.2,
    "shedAvailabilityKw": 2.1,
    "activeEventId": "evt-1f0c9a3b",
    "shedLoadIds": ["ev1"],
}


class Location(RequestBody):
    """Degrees, WGS 84."""

    model_config = example(_PLACE)

    lat: Latitude
    lon: Longitude


class VenMetrics(RestModel):
    """What the VEN does now; `shed_availability_kw` is the sum over its enabled loads.

    `shed_load_ids` are the circuits that it said to curtail when it accepted the event that it reports now.
    """

    model_config = example(_METRICS)

    current_power_kw: Figure
    shed_availability_kw: Figure
    active_event_id: str | None
    shed_load_ids: list[str]


class Ven(RestModel):
    """`last_seen` is when its last message was received, null if there was none.

    `measured_at` is when the latest sample was measured by the VEN's clock, `clock_skew_seconds` what to add to that
    clock to get the gateway's, and `reported_status` what the VEN last reported. `report_interval_seconds` is how often
    it reports and `max_power_kw` the limit of its plausible power, as operators set them; null where they did not.
    """

    model_config = example(
        {
            "id": "ven-001",
            "name": "Maple Street 12",
            "status": "online",
            "location": _PLACE,
            "metrics": _METRICS,
            "createdAt": "2025-06-01T09:30:00Z",
            "lastSeen": "2025-10-23T17:05:00.212000Z",
            "loads": [LOAD],
            "measuredAt": "2025-10-23T17:05:00Z",
            "clockSkewSeconds": 0.212,
            "reportedStatus": "ready",
            "reportIntervalSeconds": 5.0,
            "maxPowerKw": None,
        }
    )

    id: str
    name: str
    status: str
    location: Location
    metrics: VenMetrics
    created_at: datetime
    last_seen: datetime | None
    loads: list[RestLoad]
    measured_at: datetime | None
    clock_skew_seconds: Figure | None
    reported_status: str | None
    report_interval_seconds: Figure | None
    max_power_kw: Figure | None


class VenCreate(RequestBody):
    """A VEN to register; its id is `registration_id`, or is made up."""

    model_config = example({"name": "Maple Street 12", "location": _PLACE, "registrationId": "ven-001"})

    name: Name
    location: Location
    status: Status = "offline"
    report_interval_seconds: ReportInterval | None = None
    max_power_kw: MaxPower | None = None
    registration_id: NewVenId | None = Field(None, description="Its MQTT id: 1 to 128 characters, none of / + #.")


class VenUpdate(RequestBody):
    """What changes; what is absent or null stays as it is.

    Only for `report_interval_seconds` and `max_power_kw`, null clears the value.
    """

    model_config = example({"status": "disabled"})

    name: Name | None = None
    location: Location | None = None
    status: Status | None = Field(
        None, description="`disabled` stays until it is changed here, anything else until the VEN sends a message."
    )
    report_interval_seconds: ReportInterval | None = None
    max_power_kw: MaxPower | None = None


class VenSummary(RestModel):
    """A VEN in one line. Power in kW, as last reported.

    `controllable_power` is the current power of its loads that can shed. `response_time` is the mean of its last
    acknowledgements in ms, from the command to the receipt of the first answer; 0 where `responses`, the number of
    them, is 0.
    """

    model_config = example(
        {
            "id": "ven-001",
            "name": "Maple Street 12",
            "location": "37.420, -122.080",
            "status": "online",
            "controllablePower": 2.1,
            "currentPower": 8.2,
            "address": "Lat 37.420 / Lon -122.080",
            "lastSeen": "2025-10-23T17:05:00.212000Z",
            "responseTime": 412,
            "responses": 10,
        }
    )

    id: str
    name: str
    location: str
    status: str
    controllable_power: Figure
    current_power: Figure
    address: str
    last_seen: datetime | None
    response_time: int
    responses: int
