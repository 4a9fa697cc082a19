"""Commands to VENs, exactly as devices read them from `ven/cmd/{venId}`. Power in kW, durations in whole seconds.

A duration is never 0 or null, for devices take either for an hour.
"""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, NamedTuple

from schemas.records.commands import DURATIONS

EVENT = "event"
RESTORE = "restore"
SHED_LOAD = "shedLoad"
SHED_PANEL = "shedPanel"
SET_LOAD = "setLoad"
SET_CONFIG = "setConfig"
GET = "get"
PING = "ping"

SHEDDING = frozenset({EVENT, SHED_LOAD, SHED_PANEL})
"""What a VEN that takes part in no event is not asked for."""


class Command(NamedTuple):
    """One command to one VEN: its payload, and by what its answer is known again."""

    correlation_id: str
    ven_id: str
    op: str
    event_id: str | None
    payload: dict[str, Any]


def duration_of(command: Command) -> int | None:
    """Return for how many seconds a command asks its VEN to shed; None where it does not say, or asks for no shed."""
    data = command.payload.get("data", {}) if command.op in SHEDDING else {}
    return next((data[name] for name in DURATIONS if name in data), None)


def new_event_id() -> str:
    """Make an id up."""
    return f"evt-{token_hex(4)}"


def event_command(
    ven_id: str, event_id: str, shed_kw: float, duration_s: int, more: Mapping[str, Any] | None = None
) -> Command:
    """Shed so much for an event; `duration_s` is what is left of it. `more` is added to the data."""
    data = {**(more or {}), "event_id": event_id, "requestedReductionKw": shed_kw, "duration_s": duration_s}
    top = {"event_id": event_id, "shed_kw": shed_kw, "duration_sec": duration_s}
    return _command(ven_id, EVENT, data, event_id, f"evt-{event_id}", top)


def restore_command(ven_id: str, event_id: str | None, more: Mapping[str, Any] | None = None) -> Command:
    """End whatever event is active at the VEN; devices do not look at the id."""
    named = {} if event_id is None else {"event_id": event_id}
    prefix = RESTORE if event_id is None else f"{RESTORE}-{event_id}"
    return _command(ven_id, RESTORE, {**(more or {}), **named}, event_id, prefix, named)


def shed_load_command(
    ven_id: str,
    load_id: str,
    reduce_kw: float,
    duration_s: int | None,
    event_id: str | None,
    more: Mapping[str, Any] | None = None,
) -> Command:
    """Shed so much at one load; without a duration, how long is for the device to say."""
    given = {"durationS": duration_s, "eventId": event_id}
    data = {**(more or {}), "loadId": load_id, "reduceKw": reduce_kw, **_given(given)}
    return _command(ven_id, SHED_LOAD, data, event_id)


def shed_panel_command(
    ven_id: str, event_id: str, reduce_kw: float, duration_s: int, more: Mapping[str, Any] | None = None
) -> Command:
    """Shed so much anywhere in the home; in both spellings, for one kind of device invents what it cannot read."""
    both = {"durationS": duration_s, "eventId": event_id, "duration_s": duration_s, "event_id": event_id}
    return _command(ven_id, SHED_PANEL, {**(more or {}), "requestedReductionKw": reduce_kw, **both}, event_id)


def set_load_command(
    ven_id: str,
    load_id: str,
    enabled: bool | None,  # noqa: FBT001 - as devices have it
    capacity_kw: float | None,
    priority: int | None,
    more: Mapping[str, Any] | None = None,
) -> Command:
    """Set what is given of one load."""
    given = {"enabled": enabled, "capacityKw": capacity_kw, "priority": priority}
    return _command(ven_id, SET_LOAD, {**(more or {}), "loadId": load_id, **_given(given)}, None)


def other_command(ven_id: str, op: str, data: Mapping[str, Any] | None) -> Command:
    """Any other op, with its data as given."""
    return _command(ven_id, op, data, None)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _command(
    ven_id: str,
    op: str,
    data: Mapping[str, Any] | None,
    event_id: str | None,
    prefix: str | None = None,
    top: Mapping[str, Any] | None = None,
) -> Command:
    correlation_id = f"{prefix}-{token_hex(4)}" if prefix else f"{op}-{token_hex(8)}"
    payload = {"op": op, "correlationId": correlation_id, "venId": ven_id, **(top or {})}
    if data:
        payload["data"] = dict(data)
    return Command(correlation_id, ven_id, op, event_id, payload)
