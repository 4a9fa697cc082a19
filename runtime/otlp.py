"""Spans on their way to an OpenTelemetry collector (OTLP over HTTP), by a thread that nobody waits for."""

from importlib.metadata import version
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from runtime.traces import Span
from schemas.records.tracing import Place

_REQUEST_SECONDS = 5
_CLOSE_SECONDS = 1
_FLAGS = TraceFlags(TraceFlags.SAMPLED)


class _Given(IdGenerator):
    """Gives a span the ids that it has already: we place spans ourselves (schemas/records/tracing.py)."""

    def __init__(self) -> None:
        self.place = Place(1, 1)

    def generate_trace_id(self) -> int:
        return self.place.trace_id

    def generate_span_id(self) -> int:
        return self.place.span_id


class OtlpExporter:
    """Sends spans in batches; while the collector is away they are dropped, and work goes on."""

    def __init__(self, endpoint: str, process: str) -> None:
        """Describe it; `endpoint` is the collector's address without the path."""
        self._given = _Given()
        resource = Resource.create({SERVICE_NAME: f"gateway-{process}", SERVICE_VERSION: version("grid-event-gateway")})
        self._provider = TracerProvider(ALWAYS_ON, resource, id_generator=self._given, shutdown_on_exit=False)
        self._sender = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_REQUEST_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(self._sender))
        self._tracer = self._provider.get_tracer("gateway")

    def export(self, span: Span, ended_ns: int, failed: str | None) -> None:
        """Take a span that has ended."""
        self._given.place = span.place
        told = self._tracer.start_span(
            span.name,
            _within(span.parent),
            SpanKind[span.kind.upper()],
            span.attributes,
            start_time=span.started_ns,
        )
        if failed is not None:
            told.set_status(Status(StatusCode.ERROR, failed))
        told.end(ended_ns)

    def close(self) -> None:
        """Send what is left, within seconds."""
        # It waits for a collector that is away for half a minute, which the work may not take to end.
        closing = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            # What cannot be sent by now is not tried again; else its thread would outlive us.
            self._sender.shutdown()  # type: ignore[no-untyped-call]
            closing.join(_CLOSE_SECONDS)


def _within(parent: Place | None) -> Context:
    if parent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(SpanContext(*parent, is_remote=True, trace_flags=_FLAGS)), Context())
