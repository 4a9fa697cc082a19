"""Spans of sampled messages and commands, through OpenTelemetry.

Off by default, and then nothing is created. Only sampled messages and commands have spans and a `traceparent` header:
the bridge samples messages at random, every process samples commands by correlation id, and all else follows the
header.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import INVALID_SPAN, Span, SpanContext, SpanKind, Status, StatusCode

from schemas.base.errors import GatewayError
from schemas.records.tracing import is_sampled, within
from schemas.settings.blocks import TraceSettings

if TYPE_CHECKING:  # needs the extra `tracing`
    from opentelemetry.sdk.trace.export import SpanExporter

    from runtime.otlp import SpanPipeline

Attributes = Mapping[str, str | int | float | bool]


class Tracing:
    """The tracing of this process."""

    def __init__(self) -> None:
        self._pipeline: SpanPipeline | None = None
        self._messages = 0.0
        self._commands = 0.0

    @property
    def on(self) -> bool:
        """Whether this process exports spans."""
        return self._pipeline is not None

    def samples_message(self) -> bool:
        """Whether to trace the message at hand: at random."""
        return self._messages > 0 and random.random() < self._messages  # noqa: S311 - sampling needs no secure random

    def samples_command(self, correlation_id: str) -> bool:
        """Whether to trace a command: every process decides alike."""
        return is_sampled(correlation_id, self._commands)

    @property
    def samples_events(self) -> bool:
        """Whether to trace DR events: all of them if any of their commands may be sampled."""
        return self._commands > 0

    def start_span(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: SpanContext | None = None,
        given: SpanContext | None = None,
        start: float | None = None,
        attributes: Attributes | None = None,
    ) -> Span:
        """Start a span; one that records nothing while tracing is off. A span that is never ended is not exported.

        Its ids are random, or those of `given`. Without a parent it is the root of a trace. `start` is in seconds since
        1970, if the step started before now.
        """
        if self._pipeline is None:
            return INVALID_SPAN
        self._pipeline.ids.given = given
        return self._pipeline.tracer.start_span(
            name,
            within(INVALID_SPAN.get_span_context() if parent is None else parent),
            kind,
            attributes,
            start_time=None if start is None else int(start * 1e9),
        )

    @contextmanager
    def exporting(
        self, settings: TraceSettings, process: str, exporter: "SpanExporter | None" = None
    ) -> Iterator[None]:
        """Export spans as `process` inside the context, if the settings sample anything.

        Raises:
            GatewayError: OpenTelemetry's SDK is not installed.
        """
        if not settings.trace_messages and not settings.trace_commands:
            yield
            return
        self._pipeline = _open_pipeline(settings, process, exporter)
        self._messages, self._commands = settings.trace_messages, settings.trace_commands
        try:
            yield
        finally:
            self._pipeline.close()
            self._pipeline, self._messages, self._commands = None, 0.0, 0.0


TRACING = Tracing()


def end_span(span: Span, error: str | None = None) -> None:
    """End a span; with an error, as failed."""
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end()


def _open_pipeline(settings: TraceSettings, process: str, exporter: "SpanExporter | None") -> "SpanPipeline":
    try:
        from runtime.otlp import SpanPipeline, otlp_exporter  # noqa: PLC0415 - needs the extra `tracing`, and only while tracing is on
    except ImportError as error:
        raise GatewayError(
            f"TRACE_MESSAGES and TRACE_COMMANDS need OpenTelemetry's SDK ({error.name} is missing): install "
            "grid-event-gateway[tracing], or set both to 0"
        ) from None
    return SpanPipeline(process, exporter or otlp_exporter(settings.otel_exporter_otlp_endpoint))
