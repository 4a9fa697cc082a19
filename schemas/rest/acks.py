"""Acknowledgements, and what they say of circuits. The names of a circuit's fields are those that devices use."""

from datetime import datetime

from pydantic import BaseModel

from schemas.rest.model import Figure, RestModel, example

_CIRCUIT = {
    "id": "ev1",
    "name": "EV Charger",
    "breaker_amps": 50.0,
    "original_kw": 8.5,
    "curtailed_kw": 4.8,
    "final_kw": 3.7,
    "critical": False,
}


class CurtailedCircuit(BaseModel):
    """What one circuit did, in kW; always numbers. `breaker_amps` is 0 if the device did not report it."""

    model_config = example(_CIRCUIT)

    id: str
    name: str
    breaker_amps: Figure
    original_kw: Figure
    curtailed_kw: Figure
    final_kw: Figure
    critical: bool


class VenEventAck(RestModel):
    """One ack; `event_id` is that of its command, else as the device reported.

    `timed_by_arrival` is true if the device sent no usable time, so that `timestamp` is the receive time.
    """

    model_config = example(
        {
            "id": "9c1f04d27ab35e68",
            "venId": "ven-001",
            "eventId": "evt-1f0c9a3b",
            "correlationId": "evt-evt-1f0c9a3b-ab12cd34",
            "op": "event",
            "status": "accepted",
            "timestamp": "2025-10-23T17:00:01Z",
            "timedByArrival": False,
            "requestedShedKw": 5.0,
            "actualShedKw": 4.8,
            "circuitsCurtailed": [_CIRCUIT],
        }
    )

    id: str
    ven_id: str
    event_id: str | None
    correlation_id: str | None
    op: str
    status: str
    timestamp: datetime
    timed_by_arrival: bool
    requested_shed_kw: Figure | None
    actual_shed_kw: Figure | None
    circuits_curtailed: list[CurtailedCircuit]


class EventCircuit(CurtailedCircuit):
    """What one circuit of one VEN did in an event, as last acknowledged."""

    model_config = example(
        {**_CIRCUIT, "venId": "ven-001", "venName": "Maple Street 12", "timestamp": "2025-10-23T17:00:01Z"}
    )

    venId: str  # noqa: N815 - the contract mixes both spellings in this one shape
    venName: str  # noqa: N815
    timestamp: datetime
