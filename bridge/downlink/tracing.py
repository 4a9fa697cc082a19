"""Spans of sampled commands: from reading one until the MQTT broker has it, it expires, or its delivery is unknown."""

from typing import Any

from opentelemetry.trace import Span, SpanKind

from runtime.tracing import TRACING, end_span
from schemas.records.commands import CommandRecord
from schemas.records.tracing import TRACEPARENT, parse_traceparent


class CommandSpans:
    """The open spans of a batch, by correlation id; none while tracing is off."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}

    def begin(self, command: CommandRecord, record: Any) -> None:
        """Start the span of a command if its record has a sampled `traceparent`."""
        if not TRACING.on or not record.headers:
            return
        parent = parse_traceparent(dict(record.headers).get(TRACEPARENT) or b"")
        if parent is not None:
            self._spans[command.correlation_id] = TRACING.start_span(
                "bridge send command",
                SpanKind.CLIENT,
                parent=parent,
                attributes={
                    "messaging.system": "mqtt",
                    "messaging.operation.type": "send",
                    "gateway.correlation.id": command.correlation_id,
                    "gateway.ven.id": command.ven_id,
                    "gateway.op": command.op,
                    "gateway.attempt": command.attempt,
                },
            )

    def end(self, command: CommandRecord, error: str | None = None) -> None:
        """End the span of a command; `error` says why it was not sent, or why its delivery is unknown."""
        span = self._spans.pop(command.correlation_id, None)
        if span is not None:
            end_span(span, error)

    def forget(self) -> None:
        """Drop the spans that remain of a batch: another bridge sends these commands, or they were sent before."""
        self._spans.clear()
