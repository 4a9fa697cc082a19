"""Acknowledgements of commands and events, in both generations, become one canonical record."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.loads import MAX_REJECTED
from schemas.mqtt import Kind, ven_id_in_topic
from schemas.parsed import Parsed, Source
from schemas.payloads import (
    convert_fields,
    decode_object,
    first_given,
    first_of,
    short_text,
    time_of,
    unknown_fields,
    ven_id_of,
)
from schemas.readings import MAX_MAGNITUDE, Moment, Quantity, VenId
from schemas.reasons import Reason, RejectedError, Rejection


class Curtailment(msgspec.Struct, frozen=True):
    """One circuit that was curtailed, power in kW; the names are those that clients of the REST API know.

    `original_kw` and `final_kw` are None where the device told only what it shed: the sink fills them in from what the
    circuit last measured.
    """

    id: str
    name: str
    breaker_amps: Quantity | None
    original_kw: Quantity | None
    curtailed_kw: Quantity
    final_kw: Quantity | None
    critical: bool


class Ack(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One acknowledgement, identified by (ven_id, correlation_id, op, timestamp); `received_at` and it are UTC.

    `correlation_id` is empty where the device gave none. Power in kW.
    """

    ven_id: VenId
    timestamp: Moment
    received_at: Moment
    op: str
    status: str
    correlation_id: str = ""
    event_id: str | None = None
    requested_shed_kw: Quantity | None = None
    actual_shed_kw: Quantity | None = None
    circuits: tuple[Curtailment, ...] = ()
    error: str | None = None
    extra: dict[str, Any] | None = None


class _Wire(msgspec.Struct, frozen=True):
    op: str | None = None
    status: str | None = None
    ok: bool | None = None
    error: Any = None
    correlationId: str | None = None
    event_id: str | None = None
    eventId: str | None = None
    requestedShedKw: Quantity | None = None
    requested_shed_kw: Quantity | None = None
    actualShedKw: Quantity | None = None
    actual_shed_kw: Quantity | None = None
    circuits_curtailed: list[Any] | None = None
    circuitsCurtailed: list[Any] | None = None


class _Circuit(msgspec.Struct, frozen=True):
    id: str | None = None
    loadId: str | None = None
    name: str | None = None
    breaker_amps: Quantity | None = None
    original_kw: Quantity | None = None
    curtailed_kw: Quantity | None = None
    shedKw: Quantity | None = None
    final_kw: Quantity | None = None
    critical: bool | None = None


_SPELLINGS = (
    ("eventId", "event_id"),
    ("requestedShedKw", "requested_shed_kw"),
    ("actualShedKw", "actual_shed_kw"),
    ("circuitsCurtailed", "circuits_curtailed"),
)
_CIRCUIT_SPELLINGS = (("id", "loadId"), ("curtailed_kw", "shedKw"))
_KNOWN = {*_Wire.__struct_fields__, "venId", "ven_id", "timestamp", "ts", "schemaVersion"}


def parse_ack(payload: bytes, source: Source) -> Parsed:
    """Parse one acknowledgement; without a time of its own it counts by its arrival.

    A bad entry of its circuits is left out with a rejection of its own, for what the ack says counts all the same.

    Raises:
        RejectedError: it does not count.
    """
    document = decode_object(payload)
    ven_id = ven_id_in_topic(Kind.ACKS, source.topic)
    if first_of(document, "venId", "ven_id") is not None or ven_id is None:
        ven_id = ven_id_of(document)
    timestamp = source.received_at if first_of(document, "timestamp", "ts") is None else time_of(document)
    wire = convert_fields(document, _Wire, _SPELLINGS, Reason.BAD_VALUE)
    data = document.get("data")
    inside = data if isinstance(data, dict) else {}
    rejected: list[Rejection] = []
    event_id = first_given(wire.eventId, wire.event_id, inside.get("eventId"), inside.get("event_id"))
    return Parsed(
        Ack(
            ven_id=ven_id,
            timestamp=timestamp,
            received_at=source.received_at,
            op=_required("op", wire.op),
            status=_status(wire),
            correlation_id=short_text("correlationId", wire.correlationId or "", Reason.BAD_VALUE),
            event_id=None if not event_id else short_text("event id", event_id, Reason.BAD_VALUE),
            requested_shed_kw=first_given(wire.requestedShedKw, wire.requested_shed_kw),
            actual_shed_kw=first_given(wire.actualShedKw, wire.actual_shed_kw),
            circuits=_circuits(first_given(wire.circuitsCurtailed, wire.circuits_curtailed) or (), rejected),
            error=None if wire.error is None else _in_words(wire.error),
            extra=unknown_fields(document, _KNOWN),
        ),
        rejected,
    )


def _required(name: str, value: str | None, reason: Reason = Reason.MISSING_VALUE) -> str:
    if not value:
        raise RejectedError(reason, f"{name} is not given")
    return short_text(name, value, reason)


def _status(wire: _Wire) -> str:
    """Given, or what `ok` comes to."""
    if wire.status is None and wire.ok is not None:
        return "success" if wire.ok else "failed"
    if wire.status is None:
        raise RejectedError(Reason.MISSING_VALUE, "neither status nor ok is given")
    return _required("status", wire.status)


def _in_words(error: Any) -> str:
    words = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _circuits(entries: Sequence[Any], rejected: list[Rejection]) -> tuple[Curtailment, ...]:
    circuits: dict[str, Curtailment] = {}
    for index, entry in enumerate(entries):
        try:
            circuit = _circuit(entry)
            if circuit.id in circuits:
                raise RejectedError(Reason.BAD_LOAD, f"the id {circuit.id!r} is there twice")
            circuits[circuit.id] = circuit
        except RejectedError as error:
            if len(rejected) < MAX_REJECTED:
                rejected.append(Rejection(Reason.BAD_LOAD, f"circuit {index}: {error.rejection.detail}"))
    return tuple(circuits.values())


def _circuit(entry: Any) -> Curtailment:
    wire = convert_fields(entry, _Circuit, _CIRCUIT_SPELLINGS, Reason.BAD_LOAD)
    circuit_id = _required("id", first_given(wire.id, wire.loadId), Reason.BAD_LOAD)
    original, curtailed, final = _complete(wire)
    return Curtailment(
        id=circuit_id,
        name=short_text("name", wire.name or circuit_id, Reason.BAD_LOAD),
        breaker_amps=wire.breaker_amps,
        original_kw=original,
        curtailed_kw=curtailed,
        final_kw=final,
        critical=wire.critical is True,
    )


def _complete(wire: _Circuit) -> tuple[float | None, float, float | None]:
    """Of three figures that add up (original = curtailed + final), two tell the third."""
    original, curtailed, final = wire.original_kw, first_given(wire.curtailed_kw, wire.shedKw), wire.final_kw
    if curtailed is None:
        curtailed = 0.0 if original is None or final is None else original - final
    if original is None and final is not None:
        original = final + curtailed
    if final is None and original is not None:
        final = max(0.0, original - curtailed)
    if any(abs(figure) > MAX_MAGNITUDE for figure in (original, curtailed, final) if figure is not None):
        raise RejectedError(Reason.BAD_LOAD, f"its figures are beyond {MAX_MAGNITUDE} kW")
    return original, curtailed, final


decode_ack = msgspec.json.Decoder(Ack).decode
