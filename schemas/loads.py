"""The circuits of a home as devices list them, in the `loads` or in the `circuits` spelling."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.payloads import first_of, storable
from schemas.readings import Load, Quantity
from schemas.reasons import Reason, RejectedError, Rejection

DEFAULT_PANEL_VOLTAGE = 240.0
MAX_TEXT = 256
_MAX_PRIORITY = 2**31


class _Wire(msgspec.Struct, frozen=True):
    id: str | None = None
    loadId: str | None = None
    name: str | None = None
    type: str | None = None
    capacityKw: Quantity | None = None
    currentPowerKw: Quantity | None = None
    shedCapabilityKw: Quantity | None = None
    enabled: bool | None = None
    priority: float | None = None


class _Circuit(msgspec.Struct, frozen=True):
    currentKw: Quantity | None = None
    current_kw: Quantity | None = None
    breakerAmps: Quantity | None = None
    breaker_amps: Quantity | None = None
    critical: bool | None = None


_KNOWN_IN_LOADS = frozenset(_Wire.__struct_fields__)
_KNOWN_IN_CIRCUITS = frozenset(_Circuit.__struct_fields__) - {"critical"} | _KNOWN_IN_LOADS


def parse_loads(entries: Sequence[Any], rejected: list[Rejection]) -> tuple[Load, ...]:
    """Parse a `loads` list; what is wrong with single entries is added to `rejected`."""
    return _parse_each(entries, _load, rejected)


def parse_circuits(entries: Sequence[Any], panel_voltage: float | None, rejected: list[Rejection]) -> tuple[Load, ...]:
    """Parse a `circuits` list as loads: capacity is the breaker's current times `panel_voltage` (V, 240 if None)."""
    volts = panel_voltage or DEFAULT_PANEL_VOLTAGE
    return _parse_each(entries, lambda entry: _circuit(entry, volts), rejected)


def _parse_each(entries: Sequence[Any], parse: Callable[[Any], Load], rejected: list[Rejection]) -> tuple[Load, ...]:
    loads: dict[str, Load] = {}
    for index, entry in enumerate(entries):
        try:
            load = parse(entry)
            if load.id in loads:
                raise RejectedError(Reason.BAD_LOAD, f"the id {load.id!r} is there twice")
            loads[load.id] = load
        except msgspec.ValidationError as error:
            rejected.append(Rejection(Reason.BAD_LOAD, f"load {index}: {error}"))
        except RejectedError as error:
            rejected.append(Rejection(Reason.BAD_LOAD, f"load {index}: {error.rejection.detail}"))
    return tuple(loads.values())


def _load(entry: Any) -> Load:
    wire = msgspec.convert(entry, _Wire)
    return Load(
        _text("id", wire.id or wire.loadId, required=True),
        _text("name", wire.name),
        _text("type", wire.type),
        wire.capacityKw,
        wire.currentPowerKw,
        wire.shedCapabilityKw,
        wire.enabled is not False,
        _priority(wire.priority),
        _extra(entry, _KNOWN_IN_LOADS),
    )


def _circuit(entry: Any, volts: float) -> Load:
    wire, circuit = msgspec.convert(entry, _Wire), msgspec.convert(entry, _Circuit)
    current = first_of(entry, "currentKw", "current_kw", "currentPowerKw")
    amps = first_of(entry, "breakerAmps", "breaker_amps")
    # What produces has nothing to shed.
    sheds = 0.0 if circuit.critical else current and max(current, 0.0)
    return Load(
        _text("id", wire.id or wire.loadId, required=True),
        _text("name", wire.name),
        _text("type", wire.type),
        wire.capacityKw if amps is None else amps * volts / 1000,
        current,
        sheds if wire.shedCapabilityKw is None else wire.shedCapabilityKw,
        wire.enabled is not False,
        _priority(wire.priority),
        _extra(entry, _KNOWN_IN_CIRCUITS),
    )


def _text(name: str, value: str | None, *, required: bool = False) -> Any:
    if not value and required:
        raise RejectedError(Reason.BAD_LOAD, f"no {name}")
    if value and ("\0" in value or len(value) > MAX_TEXT):
        raise RejectedError(Reason.BAD_LOAD, f"its {name} holds a NUL character or more than {MAX_TEXT} characters")
    return value


def _priority(value: float | None) -> int | None:
    if value is None:
        return None
    if not value.is_integer() or abs(value) >= _MAX_PRIORITY:
        raise RejectedError(Reason.BAD_LOAD, f"its priority is a whole number, not {value}")
    return int(value)


def _extra(entry: dict[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    unknown = entry.keys() - known
    return storable({name: entry[name] for name in unknown}) if unknown else None
