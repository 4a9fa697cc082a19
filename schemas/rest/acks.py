"""Acknowledgements, and what they say of circuits. The names of a circuit's fields are those that devices use."""

from datetime import datetime

from pydantic import BaseModel

from schemas.rest.model import RestModel


class CurtailedCircuit(BaseModel):
    """What one circuit did, in kW; always numbers, for clients compute with them: 0 A is a breaker nobody told of."""

    id: str
    name: str
    breaker_amps: float
    original_kw: float
    curtailed_kw: float
    final_kw: float
    critical: bool


class VenEventAck(RestModel):
    """One acknowledgement; `event_id` is the command's where it answers one, else as the device said."""

    id: str
    ven_id: str
    event_id: str | None
    correlation_id: str | None
    op: str
    status: str
    timestamp: datetime
    requested_shed_kw: float | None
    actual_shed_kw: float | None
    circuits_curtailed: list[CurtailedCircuit]


class EventCircuit(CurtailedCircuit):
    """What one circuit of one VEN did in an event, as last acknowledged."""

    venId: str  # noqa: N815 - the contract mixes both spellings in this one shape
    venName: str  # noqa: N815
    timestamp: datetime
