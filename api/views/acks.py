"""Acks as REST shows them."""

from hashlib import blake2b
from typing import Any

import msgspec

from schemas.parsing.acks import Curtailment
from schemas.rest.acks import CurtailedCircuit, EventCircuit, VenEventAck

_decode_circuits = msgspec.json.Decoder(tuple[Curtailment, ...]).decode
_decode_circuit = msgspec.json.Decoder(Curtailment).decode


def ack_view(row: Any) -> VenEventAck:
    """Make an acknowledgement of its row; its id is of its natural key, so it stays the same."""
    key = (row["ven_id"], row["time"].isoformat(), row["op"], row["correlation_id"])
    return VenEventAck(
        id=blake2b(repr(key).encode(), digest_size=8).hexdigest(),
        ven_id=row["ven_id"],
        event_id=row["event_id"],
        correlation_id=row["correlation_id"] or None,
        op=row["op"],
        status=row["status"],
        timestamp=row["time"],
        timed_by_arrival=row["timed_by_arrival"],
        requested_shed_kw=row["requested_shed_kw"],
        actual_shed_kw=row["actual_shed_kw"],
        circuits_curtailed=[CurtailedCircuit(**_figures(circuit)) for circuit in _decode_circuits(row["circuits"])],
    )


def circuit_view(row: Any) -> EventCircuit:
    """Make a circuit of an event of its row."""
    circuit = _figures(_decode_circuit(row["circuit"]))
    return EventCircuit(venId=row["ven_id"], venName=row["ven_name"], timestamp=row["time"], **circuit)


def _figures(circuit: Curtailment) -> dict[str, Any]:
    return {
        "id": circuit.id,
        "name": circuit.name,
        "breaker_amps": circuit.breaker_amps or 0.0,
        "original_kw": circuit.original_kw or 0.0,
        "curtailed_kw": circuit.curtailed_kw,
        "final_kw": circuit.final_kw or 0.0,
        "critical": circuit.critical,
    }
