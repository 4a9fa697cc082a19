"""The bridge's part in the traces of sampled commands: from reading one until the MQTT broker has it, or never will."""

from typing import Any

from runtime.traces import TRACES, Attributes, Span
from schemas.records.commands import CommandRecord
from schemas.records.tracing import TRACEPARENT, Place


class CommandSpans:
    """Spans of the batch at hand, by correlation id; none, while traces are off."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}

    def begin(self, command: CommandRecord, record: Any) -> None:
        """Begin the span of a command, where its record says that it was chosen."""
        if not TRACES.on or not record.headers:
            return
        parent = Place.parse(dict(record.headers).get(TRACEPARENT) or b"")
        if parent is None:
            return
        attributes: Attributes = {
            "messaging.system": "mqtt",
            "messaging.operation.type": "send",
            "gateway.correlation.id": command.correlation_id,
            "gateway.ven.id": command.ven_id,
            "gateway.op": command.op,
            "gateway.attempt": command.attempt,
        }
        span = TRACES.begin("bridge send command", "client", parent=parent, attributes=attributes)
        if span is not None:
            self._spans[command.correlation_id] = span

    def end(self, command: CommandRecord, failed: str | None = None) -> None:
        """End it; `failed` says why it did not go out, or may not have."""
        span = self._spans.pop(command.correlation_id, None)
        if span is not None:
            span.end(failed)

    def forget(self) -> None:
        """Drop what is left of a batch: somebody else sends these, or they were sent before."""
        self._spans.clear()
