"""VENs and their loads as REST shows them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.parsing.acks import Curtailment
from schemas.records.telemetry import Load
from schemas.rest.loads import RestLoad
from schemas.rest.vens import Location, Ven, VenMetrics, VenSummary

_decode_circuits = msgspec.json.Decoder(tuple[Curtailment, ...]).decode
_decode_loads = msgspec.json.Decoder(tuple[Load, ...]).decode


class _SetLoad(msgspec.Struct, frozen=True, rename="camel"):
    """The data of a `setLoad` command."""

    load_id: str
    enabled: bool | None = None
    capacity_kw: float | None = None
    priority: int | None = None


_decode_set_load = msgspec.json.Decoder(_SetLoad).decode


def ven_view(row: Any) -> Ven:
    """Show a row of `SELECT_VEN`."""
    loads = loads_view(row)
    return Ven(
        id=row["ven_id"],
        name=row["name"],
        status=row["status"],
        location=Location(lat=row["latitude"], lon=row["longitude"]),
        metrics=VenMetrics(
            current_power_kw=row["used_power_kw"] or 0.0,
            shed_availability_kw=sum(load.shed_capability_kw for load in loads if load.enabled),
            active_event_id=row["event_id"],
            shed_load_ids=_shed_load_ids(row["curtailed"]),
        ),
        created_at=row["created_at"],
        last_seen=row["received_at"],
        loads=loads,
        measured_at=row["measured_at"],
        clock_skew_seconds=row["clock_skew_seconds"],
        reported_status=row["reported_status"],
        report_interval_seconds=row["report_interval_seconds"],
        max_power_kw=row["max_power_kw"],
    )


def summary_view(row: Any, response_time: int, responses: int) -> VenSummary:
    """Show a VEN in short; `response_time` is the mean of its last `responses` in ms."""
    latitude, longitude = (f"{row[name]:.3f}" for name in ("latitude", "longitude"))
    return VenSummary(
        id=row["ven_id"],
        name=row["name"],
        location=f"{latitude}, {longitude}",
        status=row["status"],
        # The same rule as in the live totals (streams/live/aggregation.py).
        controllable_power=sum(load.current_power_kw for load in loads_view(row) if load.shed_capability_kw > 0),
        current_power=row["used_power_kw"] or 0.0,
        address=f"Lat {latitude} / Lon {longitude}",
        last_seen=row["received_at"],
        response_time=response_time,
        responses=responses,
    )


def loads_view(row: Any) -> list[RestLoad]:
    """Show the loads as the VEN last reported them, overlaid with the `setLoad` commands since then."""
    loads = {load.id: _load(load) for load in _decode_loads(row["loads"])} if row["loads"] else {}
    return list(_overlay(loads, map(_decode_set_load, reversed(row["asked"]))).values())


def _overlay(loads: dict[str, RestLoad], commands: Iterable[_SetLoad]) -> dict[str, RestLoad]:
    for command in commands:
        load = loads.get(command.load_id)
        if load is None:
            continue
        given = {name: getattr(command, name) for name in ("enabled", "capacity_kw", "priority")}
        changes = {name: value for name, value in given.items() if value is not None}
        loads[command.load_id] = load.model_copy(update={**changes, "pending": True})
    return loads


def _shed_load_ids(curtailed: str | None) -> list[str]:
    circuits = _decode_circuits(curtailed) if curtailed else ()
    return list(dict.fromkeys(circuit.id for circuit in circuits if circuit.curtailed_kw > 0))


def _load(load: Load) -> RestLoad:
    return RestLoad(
        id=load.id,
        type=load.type or "other",
        name=load.name or load.id,
        capacity_kw=load.capacity_kw or 0.0,
        shed_capability_kw=load.shed_capability_kw or 0.0,
        current_power_kw=load.current_power_kw or 0.0,
        enabled=load.enabled,
        priority=load.priority or 0,
    )
