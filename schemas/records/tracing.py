"""Span contexts: in the header `traceparent` of Kafka records, and derived from the ids of events and commands.

A DR event may start hours after its request, in another process, and a command may be published twice. So the span
context of each of its steps follows from the ids of the event and the command: every process computes the same one.
"""

from hashlib import blake2b

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
"""The header of a sampled record (W3C Trace Context); other records have none."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_HASHES = 2**64
_propagator = TraceContextTextMapPropagator()


def within(parent: SpanContext) -> Context:
    """Return the context in which new spans are children of `parent`."""
    return set_span_in_context(NonRecordingSpan(parent), Context())


def traceparent_header(span: SpanContext) -> tuple[str, bytes]:
    """Return a span context as a header."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, within(span))
    return TRACEPARENT, carrier[TRACEPARENT].encode()


def parse_traceparent(value: bytes) -> SpanContext | None:
    """Return the span context of a header; None if it is malformed or not sampled. Other writers are possible."""
    span = get_current_span(_propagator.extract({TRACEPARENT: value.decode("latin-1")})).get_span_context()
    return span if span.is_valid and span.trace_flags.sampled else None


def event_request_span(event_id: str) -> SpanContext:
    """Return the span of the request that created an event: the root of its trace."""
    return _span(event_id, "asked")


def event_phase_span(event_id: str, phase: str) -> SpanContext:
    """Return the span of the start (phase `event`) or the end (`restore`) of an event."""
    return _span(event_id, phase)


def command_request_span(correlation_id: str, event_id: str | None) -> SpanContext:
    """Return the span of an operator's request to send a command."""
    return _span(event_id or correlation_id, f"asked {correlation_id}")


def command_log_span(correlation_id: str, event_id: str | None, attempt: int = 1) -> SpanContext:
    """Return the span that publishes an attempt of a command to Kafka: in its event's trace, else in its own."""
    return _span(event_id or correlation_id, f"logged {correlation_id} {attempt}")


def is_sampled(name: str, ratio: float) -> bool:
    """Whether a name belongs to the sampled share (0 to 1) of all names; every process decides alike."""
    return ratio > 0 and _hash(name, 8) < ratio * _HASHES


def _span(trace: str, step: str) -> SpanContext:
    return SpanContext(_hash(trace, 16), _hash(f"{trace} {step}", 8), is_remote=True, trace_flags=_SAMPLED)


def _hash(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=size).digest())
