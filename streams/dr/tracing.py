"""Steps of DR events and commands in their traces, as the role `sink` comes to know them, each after its commit."""

from collections.abc import Iterable
from typing import Any, Literal

from runtime.traces import TRACES, Attributes
from schemas.records.tracing import Place, asked_place, command_asked_place, command_place, phase_place

Phase = Literal["event", "restore"]

_NAMES = {"event": "sink start event", "restore": "sink end event"}


def trace_phase(event_id: str, phase: Phase, began: float) -> None:
    """Tell that an event has started or ended; `began` is in seconds since 1970."""
    if TRACES.events:
        _tell(
            _NAMES[phase],
            "internal",
            phase_place(event_id, phase),
            asked_place(event_id),
            began,
            {"gateway.event.id": event_id},
        )


def traceparent_of(correlation_id: str, event_id: str | None, attempt: int) -> list[tuple[str, bytes]]:
    """Return the headers of a command's record: none, unless it was chosen."""
    if not TRACES.choose_command(correlation_id):
        return []
    return [command_place(correlation_id, event_id, attempt).header()]


def trace_logged(rows: Iterable[Any], began: float) -> None:
    """Tell that the log has commands; `rows` are as handed over."""
    for row in rows:
        correlation_id, event_id = row["correlation_id"], row["event_id"]
        if row["wanted"] and TRACES.choose_command(correlation_id):
            operators = row["kind"] == "operator"
            parent = command_asked_place(correlation_id, event_id) if operators else phase_place(event_id, row["kind"])
            place = command_place(correlation_id, event_id, row["attempt"])
            _tell("sink log command", "producer", place, parent, began, _about(row) | {"gateway.op": row["op"]})


def trace_answered(row: Any) -> None:
    """Tell that a VEN has answered to a command for the first time, from the receipt of its answer."""
    if TRACES.choose_command(row["correlation_id"]):
        parent = command_place(row["correlation_id"], row["event_id"], row["attempt"])
        attributes = _about(row) | {"gateway.ack.good": row["good"]}
        _tell("sink acknowledged", "consumer", None, parent, row["acked_at"].timestamp(), attributes)


def _about(row: Any) -> dict[str, Any]:
    named = {} if row["event_id"] is None else {"gateway.event.id": row["event_id"]}
    return {"gateway.correlation.id": row["correlation_id"], "gateway.ven.id": row["ven_id"], **named}


def _tell(
    name: str,
    kind: Literal["internal", "producer", "consumer"],
    place: Place | None,
    parent: Place,
    began: float,
    attributes: Attributes,
) -> None:
    span = TRACES.begin(name, kind, parent=parent, place=place, started=began, attributes=attributes)
    if span is not None:
        span.end()
