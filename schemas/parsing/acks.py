"""Parses acks of commands and events, in both generations of devices, into one canonical record."""

from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.dr.commands import EVENT, GET, PING, RESTORE, SET_CONFIG, SET_LOAD, SHED_LOAD, SHED_PANEL
from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import ven_id_in_topic
from schemas.parsing.common import (
    convert_fields,
    decode_object,
    first_given,
    first_of,
    optional_time_of,
    short_text,
    storable,
    text_of,
    unknown_fields,
    ven_id_of,
)
from schemas.parsing.loads import MAX_TEXT, parse_each
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import MAX_MAGNITUDE, AwareDatetime, Quantity, VenId

# Natural key and ids of an ack are index entries. PostgreSQL limits an entry to 2704 bytes, and a character may take 4.
MAX_OP = 64
MAX_INDEXED = 256


class Curtailment(msgspec.Struct, frozen=True):
    """One curtailed circuit, power in kW; the names are those of the REST API.

    `original_kw` and `final_kw` are None if the device reported only what it shed; the sink then fills them in from the
    circuit's last measured power. `final_kw` is never below 0.
    """

    id: str
    name: str
    breaker_amps: Quantity | None
    original_kw: Quantity | None
    curtailed_kw: Quantity
    final_kw: Quantity | None
    critical: bool


class Ack(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One ack, identified by (ven_id, correlation_id, op, timestamp). Times are UTC, power is in kW.

    `correlation_id` is empty if the device sent none.
    """

    ven_id: VenId
    timestamp: AwareDatetime
    received_at: AwareDatetime
    op: str
    status: str
    correlation_id: str = ""
    event_id: str | None = None
    requested_shed_kw: Quantity | None = None
    actual_shed_kw: Quantity | None = None
    circuits: tuple[Curtailment, ...] = ()
    error: str | None = None
    extra: dict[str, Any] | None = None
    # If the device sent no readable time, or one outside the window (`device_time`), `timestamp` is the receive time.
    timed_by_arrival: bool = False
    device_time: AwareDatetime | None = None


class AckFields(msgspec.Struct, frozen=True):
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


class CurtailedFields(msgspec.Struct, frozen=True):
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
    ("status", "ok"),
    ("eventId", "event_id"),
    ("requestedShedKw", "requested_shed_kw"),
    ("actualShedKw", "actual_shed_kw"),
    ("circuitsCurtailed", "circuits_curtailed"),
)
_CIRCUIT_SPELLINGS = (("id", "loadId"), ("curtailed_kw", "shedKw"))
_IDS, _TIMES = ("venId", "ven_id"), ("timestamp", "ts")
_KNOWN = frozenset({*AckFields.__struct_fields__, *_IDS, *_TIMES, "schemaVersion"})
_OPS = {op.lower(): op for op in (EVENT, RESTORE, SHED_LOAD, SHED_PANEL, SET_LOAD, SET_CONFIG, GET, PING)}


def parse_ack(payload: bytes, source: Source) -> Parsed:
    """Parse an ack; without a readable time of its own it has its receive time.

    The topic says which VEN answers. Another id in the payload, and a time that cannot be read, are kept in `extra`. A
    bad entry of its circuits is left out with a rejection of its own; the ack itself counts.

    Raises:
        RejectedError: the ack is rejected.
    """
    document = decode_object(payload)
    in_topic = ven_id_in_topic(Kind.ACKS, source.topic)
    ven_id = ven_id_of(document) if in_topic is None else in_topic
    device_time = optional_time_of(document)
    known = _KNOWN
    if first_of(document, *_IDS) != ven_id:
        known = known.difference(_IDS)
    if device_time is None:
        known = known.difference(_TIMES)
    wire = convert_fields(document, AckFields, _SPELLINGS, Reason.BAD_VALUE)
    rejected: list[Rejection] = []
    entries = first_given(wire.circuitsCurtailed, wire.circuits_curtailed) or ()
    return Parsed(
        Ack(
            ven_id=ven_id,
            timestamp=source.received_at if device_time is None else device_time,
            timed_by_arrival=device_time is None,
            received_at=source.received_at,
            op=_op(wire.op),
            status=_status(wire),
            correlation_id=short_text("correlationId", wire.correlationId or "", Reason.BAD_VALUE, MAX_INDEXED),
            event_id=_event_id(wire, document.get("data")),
            requested_shed_kw=first_given(wire.requestedShedKw, wire.requested_shed_kw),
            actual_shed_kw=first_given(wire.actualShedKw, wire.actual_shed_kw),
            circuits=parse_each("circuit", entries, _circuit, rejected),
            # Devices also write false, "" or 0 if there is no error.
            error=text_of(storable(wire.error)) if wire.error else None,
            extra=unknown_fields(document, known),
        ),
        rejected,
    )


def _op(op: str | None) -> str:
    """Return the op in our spelling; devices differ in the case of letters."""
    given = _given("op", op, MAX_OP)
    return _OPS.get(given.lower(), given)


def _given(name: str, value: str | None, most: int) -> str:
    if not value:
        raise RejectedError(Reason.MISSING_VALUE, f"{name} is missing")
    return short_text(name, value, Reason.BAD_VALUE, most)


def _status(wire: AckFields) -> str:
    """Return the status, or the one that `ok` stands for."""
    if not wire.status and wire.ok is not None:
        return "success" if wire.ok else "failed"
    # Lower case before the length check, because some characters become two.
    return _given("status (or ok)", wire.status and wire.status.lower(), MAX_INDEXED)


def _event_id(wire: AckFields, data: Any) -> str | None:
    """Return the event id of the ack or of its `data`; an empty one counts as absent."""
    event_id: Any = first_given(wire.eventId, wire.event_id) or None
    if event_id is None and isinstance(data, dict):
        event_id = first_of(data, "eventId", "event_id")
    return None if event_id in (None, "") else short_text("event id", event_id, Reason.BAD_VALUE, MAX_INDEXED)


def _circuit(entry: Any) -> Curtailment:
    wire = convert_fields(entry, CurtailedFields, _CIRCUIT_SPELLINGS, Reason.BAD_LOAD)
    circuit_id = first_given(wire.id, wire.loadId)
    if not circuit_id:
        raise RejectedError(Reason.BAD_LOAD, "no id")
    original, curtailed, final = _complete(wire)
    return Curtailment(
        id=short_text("id", circuit_id, Reason.BAD_LOAD, MAX_TEXT),
        name=short_text("name", wire.name or circuit_id, Reason.BAD_LOAD, MAX_TEXT),
        breaker_amps=wire.breaker_amps,
        original_kw=original,
        curtailed_kw=curtailed,
        final_kw=final,
        critical=wire.critical is True,
    )


def _complete(wire: CurtailedFields) -> tuple[float | None, float, float | None]:
    """Derive the missing one of three powers (original = curtailed + final); three reported ones stay as they are."""
    original, curtailed, final = wire.original_kw, first_given(wire.curtailed_kw, wire.shedKw), wire.final_kw
    if final is not None:
        final = max(0.0, final)
    if curtailed is None:
        curtailed = 0.0 if original is None or final is None else original - final
    if original is None and final is not None:
        original = final + curtailed
    if final is None and original is not None:
        final = max(0.0, original - curtailed)
    if any(abs(power) > MAX_MAGNITUDE for power in (original, curtailed, final) if power is not None):
        raise RejectedError(Reason.BAD_LOAD, f"its power is beyond {MAX_MAGNITUDE} kW")
    return original, curtailed, final


decode_ack = msgspec.json.Decoder(Ack).decode
