"""Parses metering samples, in every spelling that devices use, into readings or fault reports."""

from datetime import datetime
from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import parse_ven_id
from schemas.parsing.common import (
    MAX_PAYLOAD_BYTES,
    check_ven_id,
    convert_fields,
    decode_object,
    first_given,
    first_of,
    parse_time,
    short_text,
    storable,
    time_of,
    unknown_fields,
    whole,
)
from schemas.parsing.loads import PlainLoad, differ, parse_lists
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import FaultReport, Int64, Load, Quantity, Reading

_WHOLE_PERCENT = 100
# PostgreSQL cannot store NUL characters. Hardly any sample contains a backslash, so search for that first.
_NUL = b"\\u0000"
_ESCAPE = b"\\"


class _Fields(msgspec.Struct, frozen=True):
    """All known fields except lists, with their types, so that one conversion in C checks them all."""

    usedPowerKw: Quantity | None = None
    power_kw: Quantity | None = None
    shedPowerKw: Quantity | None = None
    shed_kw: Quantity | None = None
    requestedReductionKw: Quantity | None = None
    eventId: str | None = None
    event_id: str | None = None
    active_event: str | None = None
    baselinePowerKw: Quantity | None = None
    base_power_kw: Quantity | None = None
    batterySoc: Quantity | None = None
    batterySOC: Quantity | None = None
    battery_soc: Quantity | None = None
    panelAmperageRating: Quantity | None = None
    panelVoltage: Quantity | None = None
    panelMaxKw: Quantity | None = None
    currentAmps: Quantity | None = None
    panelUtilizationPercent: Quantity | None = None


class MeteringFields(_Fields, frozen=True):
    """Adds the fields that need more checks than their type; the entries of lists are parsed one by one."""

    message_num: int | float | None = None
    loads: list[Any] | None = None
    circuits: list[Any] | None = None


class _Plain(_Fields, frozen=True, forbid_unknown_fields=True):
    """A sample without unknown or unusual fields, like almost all samples: decoded in one step, in C."""

    venId: Any = None
    ven_id: Any = None
    timestamp: Any = None
    ts: Any = None
    schemaVersion: Any = None
    message_num: Int64 | None = None
    loads: tuple[PlainLoad, ...] | None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode

_SPELLINGS = (
    ("usedPowerKw", "power_kw"),
    ("shedPowerKw", "shed_kw"),
    ("eventId", "event_id", "active_event"),
    ("baselinePowerKw", "base_power_kw"),
    ("batterySoc", "batterySOC", "battery_soc"),
    ("loads", "circuits"),
)
_KNOWN = {*MeteringFields.__struct_fields__, "venId", "ven_id", "timestamp", "ts", "schemaVersion"}
# Beside `loads`, `circuits` is not used; it is kept like an unknown field.
_KNOWN_BESIDE_LOADS = _KNOWN - {"circuits"}


def parse_metering(payload: bytes, source: Source) -> Parsed:
    """Parse a metering sample into a Reading, or a FaultReport of the VEN about itself.

    Raises:
        RejectedError: the sample is rejected.
    """
    plain = _parse_plain(payload, source)
    if plain is not None:
        return Parsed(plain)
    document = decode_object(payload)
    ven_id, timestamp = parse_ven_id(Kind.METERING, source.topic, document), time_of(document)
    error = document.get("error")
    if isinstance(error, str) and error and first_of(document, "usedPowerKw", "power_kw") is None:
        return Parsed(FaultReport(ven_id, timestamp, source.received_at, storable(error)))
    wire = convert_fields(document, MeteringFields, _SPELLINGS, Reason.BAD_VALUE)
    rejected: list[Rejection] = []
    loads = parse_lists(wire.loads, wire.circuits, wire.panelVoltage, rejected)
    extra = unknown_fields(document, _KNOWN if wire.loads is None else _KNOWN_BESIDE_LOADS)
    number = whole("message_num", wire.message_num, 63, Reason.BAD_VALUE)
    return Parsed(_reading(ven_id, timestamp, source, wire, number, loads, extra), rejected)


def _parse_plain(payload: bytes, source: Source) -> Reading | None:
    """Return the reading of a plain sample; None if the sample needs the full parser."""
    if len(payload) > MAX_PAYLOAD_BYTES or (_ESCAPE in payload and _NUL in payload):
        return None
    try:
        plain = _decode_plain(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    ven_id = plain.venId if plain.venId is not None else plain.ven_id
    timestamp = plain.timestamp if plain.timestamp is not None else plain.ts
    if ven_id is None or timestamp is None or not differ(plain.loads):
        return None
    return _reading(check_ven_id(ven_id), parse_time(timestamp), source, plain, plain.message_num, plain.loads, None)


def _reading(
    ven_id: str,
    timestamp: datetime,
    source: Source,
    wire: _Fields,
    message_num: int | None,
    loads: tuple[Load, ...] | None,
    extra: dict[str, Any] | None,
) -> Reading:
    # This runs for every sample. Positional arguments take half the time of keywords.
    soc = wire.batterySoc
    if soc is None:
        soc = wire.batterySOC if wire.batterySOC is not None else wire.battery_soc
    return Reading(
        ven_id,
        timestamp,
        source.received_at,
        wire.usedPowerKw if wire.usedPowerKw is not None else wire.power_kw,
        wire.shedPowerKw if wire.shedPowerKw is not None else wire.shed_kw,
        wire.requestedReductionKw,
        _event_id(wire),
        wire.baselinePowerKw if wire.baselinePowerKw is not None else wire.base_power_kw,
        None if soc is None else _share(soc),
        wire.panelAmperageRating,
        wire.panelVoltage,
        wire.panelMaxKw,
        wire.currentAmps,
        wire.panelUtilizationPercent,
        message_num,
        loads,
        extra,
    )


def _event_id(wire: _Fields) -> str | None:
    """Return the event id; an empty one counts as absent."""
    value = first_given(wire.eventId, wire.event_id, wire.active_event)
    return short_text("event id", value, Reason.BAD_VALUE) if value else None


def _share(state_of_charge: float) -> float:
    """Return the state of charge from 0 to 1; devices send values above 1 as percent."""
    if not 0 <= state_of_charge <= _WHOLE_PERCENT:
        raise RejectedError(Reason.BAD_VALUE, f"a battery state of charge of {state_of_charge} is out of range")
    return state_of_charge / _WHOLE_PERCENT if state_of_charge > 1 else state_of_charge
