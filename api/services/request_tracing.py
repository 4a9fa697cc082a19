"""The first span of a DR event or of an operator's command: the request that created it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanKind

from runtime.tracing import TRACING
from schemas.dr.commands import Command
from schemas.records.tracing import command_request_span, event_request_span


class RequestTrace:
    """The spans of one request."""

    def __init__(self) -> None:
        self._start = time.time()
        self.spans: list[Span] = []

    def event(self, event_id: str) -> None:
        """Start the span of a DR event."""
        if TRACING.samples_events:
            span = TRACING.start_span(
                "api create event",
                SpanKind.SERVER,
                given=event_request_span(event_id),
                start=self._start,
                attributes={"gateway.event.id": event_id},
            )
            self.spans.append(span)

    def command(self, command: Command) -> None:
        """Start the span of an operator's command, if it is sampled."""
        if TRACING.samples_command(command.correlation_id):
            span = TRACING.start_span(
                "api send command",
                SpanKind.SERVER,
                given=command_request_span(command.correlation_id, command.event_id),
                start=self._start,
                attributes={
                    "gateway.correlation.id": command.correlation_id,
                    "gateway.ven.id": command.ven_id,
                    "gateway.op": command.op,
                },
            )
            self.spans.append(span)


@contextmanager
def trace_request() -> Iterator[RequestTrace]:
    """Record the spans of a request when the block ends without an error, so after its commit."""
    trace = RequestTrace()
    yield trace
    for span in trace.spans:
        span.end()
