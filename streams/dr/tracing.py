"""Spans of DR events and commands in the role `sink`, each recorded after its commit."""

from collections.abc import Iterable
from typing import Any, Literal

from opentelemetry.trace import SpanKind

from runtime.tracing import TRACING
from schemas.records.tracing import (
    command_log_span,
    command_request_span,
    event_phase_span,
    event_request_span,
    traceparent_header,
)

Phase = Literal["event", "restore"]

_NAMES = {"event": "sink start event", "restore": "sink end event"}


def trace_phase(event_id: str, phase: Phase, start: float) -> None:
    """Record the start or the end of an event; `start` of the work is in seconds since 1970."""
    if TRACING.samples_events:
        TRACING.start_span(
            _NAMES[phase],
            SpanKind.INTERNAL,
            parent=event_request_span(event_id),
            given=event_phase_span(event_id, phase),
            start=start,
            attributes={"gateway.event.id": event_id},
        ).end()


def traceparent_of(correlation_id: str, event_id: str | None, attempt: int) -> list[tuple[str, bytes]]:
    """Return the headers of a command's record: none if it is not sampled."""
    if not TRACING.samples_command(correlation_id):
        return []
    return [traceparent_header(command_log_span(correlation_id, event_id, attempt))]


def trace_logged(rows: Iterable[Any], start: float) -> None:
    """Record that Kafka has commands; `rows` are those of `command_source`."""
    for row in rows:
        correlation_id, event_id = row["correlation_id"], row["event_id"]
        if TRACING.samples_command(correlation_id):
            by_operator = row["kind"] == "operator"
            TRACING.start_span(
                "sink log command",
                SpanKind.PRODUCER,
                parent=command_request_span(correlation_id, event_id)
                if by_operator
                else event_phase_span(event_id, row["kind"]),
                given=command_log_span(correlation_id, event_id, row["attempt"]),
                start=start,
                attributes=_attributes(row) | {"gateway.op": row["op"]},
            ).end()


def trace_answered(row: Any) -> None:
    """Record the first ack of a command, from its receipt."""
    if TRACING.samples_command(row["correlation_id"]):
        TRACING.start_span(
            "sink acknowledged",
            SpanKind.CONSUMER,
            parent=command_log_span(row["correlation_id"], row["event_id"], row["attempt"]),
            start=row["acked_at"].timestamp(),
            attributes=_attributes(row) | {"gateway.ack.good": row["good"] is True},
        ).end()


def _attributes(row: Any) -> dict[str, Any]:
    event = {} if row["event_id"] is None else {"gateway.event.id": row["event_id"]}
    return {"gateway.correlation.id": row["correlation_id"], "gateway.ven.id": row["ven_id"], **event}
