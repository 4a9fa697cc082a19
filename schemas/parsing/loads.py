"""Parses lists of loads, whose entries have the spellings of `loads`, of `circuits`, or both."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.parsing.common import convert_fields, first_given, short_text, unknown_fields, whole
from schemas.records.telemetry import MAX_MAGNITUDE, Load, Quantity

DEFAULT_PANEL_VOLTAGE = 240.0
MAX_TEXT = 256
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
MAX_REJECTED = 20
"""How many bad entries of a list get a rejection each: every rejection is a dead letter with the whole payload."""


class _Entry(Protocol):
    @property
    def id(self) -> str: ...


E = TypeVar("E", bound=_Entry)


class LoadFields(msgspec.Struct, frozen=True):
    """The known fields of an entry, in all spellings."""

    id: str | None = None
    loadId: str | None = None
    name: str | None = None
    type: str | None = None
    capacityKw: Quantity | None = None
    currentPowerKw: Quantity | None = None
    shedCapabilityKw: Quantity | None = None
    enabled: bool | None = None
    priority: int | float | None = None
    currentKw: Quantity | None = None
    current_kw: Quantity | None = None
    breakerAmps: Quantity | None = None
    breaker_amps: Quantity | None = None
    critical: bool | None = None


class PlainLoad(Load, frozen=True, gc=False, eq=False, forbid_unknown_fields=True):
    """A load as devices send it, without unknown fields, so `extra` stays empty."""

    name: _Text | None = None
    type: _Text | None = None
    # In a payload, `extra` would be an unknown field.
    extra: None = None


_id_of = attrgetter("id")
_SPELLINGS = (("id", "loadId"), ("currentPowerKw", "currentKw", "current_kw"), ("breakerAmps", "breaker_amps"))
# `critical` has no column, so it is kept with the unknown fields.
_KNOWN = frozenset(LoadFields.__struct_fields__) - {"critical"}


def parse_lists(
    loads: Sequence[Any] | None,
    circuits: Sequence[Any] | None,
    panel_voltage: float | None,
    rejected: list[Rejection],
) -> tuple[Load, ...] | None:
    """Parse `loads`, or `circuits` if `loads` is None; return None if both are None.

    A missing capacity is breaker current times `panel_voltage` (V, 240 if None). Adds at most `MAX_REJECTED` + 1
    rejections of bad entries to `rejected`.
    """
    volts = panel_voltage if panel_voltage and panel_voltage > 0 else DEFAULT_PANEL_VOLTAGE
    entries = first_given(loads, circuits)
    if entries is None:
        return None
    return parse_each("load", entries, lambda entry: _load(entry, volts, is_circuit=loads is None), rejected)


def differ(loads: Sequence[PlainLoad] | None) -> bool:
    """Return whether all ids are different."""
    return not loads or len(set(map(_id_of, loads))) == len(loads)


def parse_each(
    what: str, entries: Sequence[Any], parse: Callable[[Any], E], rejected: list[Rejection]
) -> tuple[E, ...]:
    """Parse the entries of a list; add at most `MAX_REJECTED` + 1 rejections. A repeated id is rejected."""
    found: dict[str, E] = {}
    wrong = 0
    for index, entry in enumerate(entries):
        try:
            parsed = parse(entry)
            if parsed.id in found:
                raise RejectedError(Reason.BAD_LOAD, f"the id {parsed.id!r} occurs twice")
            found[parsed.id] = parsed
        except RejectedError as error:
            wrong += 1
            if wrong <= MAX_REJECTED:
                rejected.append(Rejection(Reason.BAD_LOAD, f"{what} {index}: {error.rejection.detail}"))
    if wrong > MAX_REJECTED:
        rejected.append(Rejection(Reason.BAD_LOAD, f"and {wrong - MAX_REJECTED} more"))
    return tuple(found.values())


def _load(entry: Any, volts: float, *, is_circuit: bool) -> Load:
    wire = convert_fields(entry, LoadFields, _SPELLINGS, Reason.BAD_LOAD)
    load_id = _text("id", first_given(wire.id, wire.loadId))
    if not load_id:
        raise RejectedError(Reason.BAD_LOAD, "no id")
    current, capacity, sheds = wire.currentPowerKw, wire.capacityKw, wire.shedCapabilityKw
    if current is None:
        current = first_given(wire.currentKw, wire.current_kw)
        is_circuit = is_circuit or current is not None
    amps = first_given(wire.breakerAmps, wire.breaker_amps)
    if capacity is None and amps is not None:
        capacity = amps * volts / 1000
        is_circuit = True
        if abs(capacity) > MAX_MAGNITUDE:
            raise RejectedError(Reason.BAD_LOAD, f"{amps} A at {volts} V exceed {MAX_MAGNITUDE} kW")
    if wire.critical:
        sheds = 0.0
    elif sheds is None and current is not None and (is_circuit or wire.critical is not None):
        # A circuit can shed its power, unless it produces.
        sheds = max(current, 0.0)
    return Load(
        load_id,
        _text("name", wire.name),
        _text("type", wire.type),
        capacity,
        current,
        sheds,
        wire.enabled is not False,
        whole("priority", wire.priority, 31, Reason.BAD_LOAD),
        unknown_fields(entry, _KNOWN),
    )


def _text(name: str, value: str | None) -> str | None:
    return short_text(name, value, Reason.BAD_LOAD, MAX_TEXT) if value else value
