"""Metering payloads, in every spelling that devices use, become one canonical record or one reason why not."""

from datetime import datetime
from typing import Any

import msgspec

from schemas.loads import PlainLoad, all_plain, parse_circuits, parse_loads
from schemas.parsed import Parsed, Source
from schemas.payloads import (
    MAX_PAYLOAD_BYTES,
    check_ven_id,
    convert_fields,
    decode_object,
    first_given,
    first_of,
    parse_time,
    short_text,
    storable,
    text_of,
    time_of,
    unknown_fields,
    ven_id_of,
    whole,
)
from schemas.readings import FaultReport, Load, Quantity, Reading
from schemas.reasons import Reason, RejectedError, Rejection

_WHOLE_PERCENT = 100
# How JSON spells a character that PostgreSQL has not.
_NUL = b"\\u0000"


class _Fields(msgspec.Struct, frozen=True):
    """Every known field but lists, with its type, so that one conversion in C checks them all."""

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
    message_num: int | float | None = None


class MeteringFields(_Fields, frozen=True):
    """With lists whose entries are looked at one by one."""

    loads: list[Any] | None = None
    circuits: list[Any] | None = None


class _Plain(_Fields, frozen=True, forbid_unknown_fields=True):
    """A sample with nothing unknown and nothing unusual in it, as almost all are: decoded at once, in C."""

    venId: Any = None
    ven_id: Any = None
    timestamp: Any = None
    ts: Any = None
    schemaVersion: Any = None
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
# Beside `loads`, a device's circuits are nothing that has a column.
_KNOWN_BESIDE_LOADS = _KNOWN - {"circuits"}


def parse_metering(payload: bytes, source: Source) -> Parsed:
    """Parse one metering payload: a Reading, or the VEN's own FaultReport.

    Raises:
        RejectedError: it does not count.
    """
    plain = _parse_plain(payload, source)
    if plain is not None:
        return Parsed(plain)
    document = decode_object(payload)
    ven_id, timestamp = ven_id_of(document), time_of(document)
    error = document.get("error")
    if error is not None and first_of(document, "usedPowerKw", "power_kw") is None:
        return Parsed(FaultReport(ven_id, timestamp, source.received_at, text_of(storable(error))))
    wire = convert_fields(document, MeteringFields, _SPELLINGS, Reason.BAD_VALUE)
    known = _KNOWN
    rejected: list[Rejection] = []
    if wire.loads is not None:
        loads = parse_loads(wire.loads, rejected)
        known = _KNOWN_BESIDE_LOADS
    elif wire.circuits is not None:
        loads = parse_circuits(wire.circuits, wire.panelVoltage, rejected)
    else:
        loads = None
    extra = unknown_fields(document, known)
    return Parsed(_reading(ven_id, timestamp, source, wire, loads, extra), rejected)


def _parse_plain(payload: bytes, source: Source) -> Reading | None:
    """The reading, where the sample is plain; None where it has to be looked at closely, also to say what is wrong."""
    if len(payload) > MAX_PAYLOAD_BYTES or _NUL in payload:
        return None
    try:
        plain = _decode_plain(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    ven_id, timestamp = first_given(plain.venId, plain.ven_id), first_given(plain.timestamp, plain.ts)
    whole = plain.message_num is None or isinstance(plain.message_num, int)
    if ven_id is None or timestamp is None or not whole or not all_plain(plain.loads):
        return None
    return _reading(check_ven_id(ven_id), parse_time(timestamp), source, plain, plain.loads, None)


def _reading(
    ven_id: str,
    timestamp: datetime,
    source: Source,
    wire: _Fields,
    loads: tuple[Load, ...] | None,
    extra: dict[str, Any] | None,
) -> Reading:
    return Reading(
        ven_id=ven_id,
        timestamp=timestamp,
        received_at=source.received_at,
        used_power_kw=first_given(wire.usedPowerKw, wire.power_kw),
        shed_power_kw=first_given(wire.shedPowerKw, wire.shed_kw),
        requested_reduction_kw=wire.requestedReductionKw,
        event_id=_event_id(first_given(wire.eventId, wire.event_id, wire.active_event)),
        baseline_power_kw=first_given(wire.baselinePowerKw, wire.base_power_kw),
        battery_soc=_share(first_given(wire.batterySoc, wire.batterySOC, wire.battery_soc)),
        panel_amperage_rating=wire.panelAmperageRating,
        panel_voltage=wire.panelVoltage,
        panel_max_kw=wire.panelMaxKw,
        current_amps=wire.currentAmps,
        panel_utilization_percent=wire.panelUtilizationPercent,
        message_num=whole("message_num", wire.message_num, 63, Reason.BAD_VALUE),
        loads=loads,
        extra=extra,
    )


def _event_id(value: str | None) -> str | None:
    """An empty one is none."""
    return short_text("event id", value, Reason.BAD_VALUE) if value else None


def _share(state_of_charge: float | None) -> float | None:
    """Above 1 it is percent."""
    if state_of_charge is None:
        return None
    if not 0 <= state_of_charge <= _WHOLE_PERCENT:
        raise RejectedError(Reason.BAD_VALUE, f"a battery state of charge of {state_of_charge} is out of range")
    return state_of_charge / _WHOLE_PERCENT if state_of_charge > 1 else state_of_charge
