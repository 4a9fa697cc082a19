"""Metering payloads, in every spelling that devices use, become one canonical record or one reason why not."""

from typing import Any

import msgspec

from schemas.loads import parse_circuits, parse_loads
from schemas.parsed import Parsed, Source
from schemas.payloads import (
    convert_fields,
    decode_object,
    first_given,
    first_of,
    short_text,
    storable,
    text_of,
    time_of,
    unknown_fields,
    ven_id_of,
    whole,
)
from schemas.readings import FaultReport, Quantity, Reading
from schemas.reasons import Reason, RejectedError, Rejection

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
    message_num: int | float | None = None
    loads: list[Any] | None = None
    circuits: list[Any] | None = None


_SPELLINGS = (
    ("usedPowerKw", "power_kw"),
    ("shedPowerKw", "shed_kw"),
    ("eventId", "event_id", "active_event"),
    ("baselinePowerKw", "base_power_kw"),
    ("batterySoc", "batterySOC", "battery_soc"),
    ("loads", "circuits"),
)
_KNOWN = {*_Wire.__struct_fields__, "venId", "ven_id", "timestamp", "ts", "schemaVersion"}
# Beside `loads`, a device's circuits are nothing that has a column.
_KNOWN_BESIDE_LOADS = _KNOWN - {"circuits"}


def parse_metering(payload: bytes, source: Source) -> Parsed:
    """Parse one metering payload: a Reading, or the VEN's own FaultReport.

    Raises:
        RejectedError: it does not count.
    """
    document = decode_object(payload)
    ven_id, timestamp = ven_id_of(document), time_of(document)
    error = document.get("error")
    if error is not None and first_of(document, "usedPowerKw", "power_kw") is None:
        return Parsed(FaultReport(ven_id, timestamp, source.received_at, text_of(storable(error))))
    wire = convert_fields(document, _Wire, _SPELLINGS, Reason.BAD_VALUE)
    known = _KNOWN
    rejected: list[Rejection] = []
    if wire.loads is not None:
        loads = parse_loads(wire.loads, rejected)
        known = _KNOWN_BESIDE_LOADS
    elif wire.circuits is not None:
        loads = parse_circuits(wire.circuits, wire.panelVoltage, rejected)
    else:
        loads = None
    reading = Reading(
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
        extra=unknown_fields(document, known),
    )
    return Parsed(reading, rejected)


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
