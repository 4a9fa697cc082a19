"""Metering payloads, in every spelling that devices use, become one canonical record or one reason why not."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from schemas.loads import parse_circuits, parse_loads
from schemas.payloads import decode_object, first_of, storable, time_of, ven_id_of
from schemas.readings import FaultReport, Quantity, Reading
from schemas.reasons import Reason, RejectedError, Rejection

MAX_TEXT = 1024
_WHOLE_PERCENT = 100


class _Wire(msgspec.Struct, frozen=True):
    """Every known field with its type, so that one conversion in C checks them all."""

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
    message_num: float | None = None
    loads: list[Any] | None = None
    circuits: list[Any] | None = None


_KNOWN = frozenset(_Wire.__struct_fields__) - {"circuits"} | {"venId", "ven_id", "timestamp", "ts", "schemaVersion"}


class Parsed(NamedTuple):
    """A payload that counts, and the loads of it that do not."""

    record: Reading | FaultReport
    rejected_loads: Sequence[Rejection] = ()


def parse_metering(payload: bytes, received_at: datetime) -> Parsed | Rejection:
    """Parse one metering payload; never raises, whatever the bytes are."""
    try:
        return _parse(payload, received_at)
    except RejectedError as error:
        return error.rejection


def _parse(payload: bytes, received_at: datetime) -> Parsed:
    document = decode_object(payload)
    ven_id, timestamp = ven_id_of(document), time_of(document)
    error = document.get("error")
    if error is not None and first_of(document, "usedPowerKw", "power_kw") is None:
        text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
        return Parsed(FaultReport(ven_id, timestamp, received_at, storable(text)))
    wire = _convert(document)
    rejected: list[Rejection] = []
    unknown = document.keys() - _KNOWN
    if wire.loads is not None:
        loads = parse_loads(wire.loads, rejected)
    elif wire.circuits is not None:
        loads = parse_circuits(wire.circuits, wire.panelVoltage, rejected)
        unknown.discard("circuits")
    else:
        loads = None
    reading = Reading(
        ven_id=ven_id,
        timestamp=timestamp,
        received_at=received_at,
        used_power_kw=_modern(wire.usedPowerKw, wire.power_kw),
        shed_power_kw=_modern(wire.shedPowerKw, wire.shed_kw),
        requested_reduction_kw=wire.requestedReductionKw,
        event_id=_text("eventId", wire.eventId or wire.event_id or wire.active_event),
        baseline_power_kw=_modern(wire.baselinePowerKw, wire.base_power_kw),
        battery_soc=_share(_modern(wire.batterySoc, _modern(wire.batterySOC, wire.battery_soc))),
        panel_amperage_rating=wire.panelAmperageRating,
        panel_voltage=wire.panelVoltage,
        panel_max_kw=wire.panelMaxKw,
        current_amps=wire.currentAmps,
        panel_utilization_percent=wire.panelUtilizationPercent,
        message_num=_whole("message_num", wire.message_num),
        loads=loads,
        extra=storable({name: document[name] for name in unknown}) if unknown else None,
    )
    return Parsed(reading, rejected)


def _convert(document: dict[str, Any]) -> _Wire:
    try:
        return msgspec.convert(document, _Wire)
    except msgspec.ValidationError as error:
        return _convert_winners(document, error)


# Where a device sends a field in two spellings, only the one that counts has to be right.
_SPELLINGS = (
    ("usedPowerKw", "power_kw"),
    ("shedPowerKw", "shed_kw"),
    ("eventId", "event_id", "active_event"),
    ("baselinePowerKw", "base_power_kw"),
    ("batterySoc", "batterySOC", "battery_soc"),
    ("loads", "circuits"),
)
_ALTERNATIVES = frozenset(name for names in _SPELLINGS for name in names)


def _convert_winners(document: dict[str, Any], first_error: msgspec.ValidationError) -> _Wire:
    winners = {name: value for name, value in document.items() if name not in _ALTERNATIVES}
    for names in _SPELLINGS:
        winners[names[0]] = first_of(document, *names)
    if document.get("loads") is None:
        winners["loads"], winners["circuits"] = None, document.get("circuits")
    try:
        return msgspec.convert(winners, _Wire)
    except msgspec.ValidationError:
        raise RejectedError(Reason.BAD_VALUE, str(first_error)) from None


def _modern(modern: float | None, legacy: float | None) -> float | None:
    return legacy if modern is None else modern


def _text(name: str, value: str | None) -> str | None:
    if not value:
        return None
    if "\0" in value or len(value) > MAX_TEXT:
        raise RejectedError(Reason.BAD_VALUE, f"{name} holds a NUL character or more than {MAX_TEXT} characters")
    return value


def _share(state_of_charge: float | None) -> float | None:
    """Above 1 it is percent."""
    if state_of_charge is None:
        return None
    if not 0 <= state_of_charge <= _WHOLE_PERCENT:
        raise RejectedError(Reason.BAD_VALUE, f"a battery state of charge of {state_of_charge} is out of range")
    return state_of_charge / _WHOLE_PERCENT if state_of_charge > 1 else state_of_charge


def _whole(name: str, value: float | None) -> int | None:
    if value is None:
        return None
    if not value.is_integer() or abs(value) >= 2**63:
        raise RejectedError(Reason.BAD_VALUE, f"{name} is a 64-bit whole number, not {value}")
    return int(value)
