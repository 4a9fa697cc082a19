"""Spans of sampled records: each from the start of its batch until the batch is finished."""

from collections.abc import Sequence

from opentelemetry.trace import Span, SpanKind

from runtime.tracing import TRACING
from schemas.records.tracing import TRACEPARENT, parse_traceparent, traceparent_header
from streams.engine.batch import Batch, Record


def start_record_spans(role: str, batches: Sequence[Batch]) -> list[Span]:
    """Start a span for each sampled record, and replace the record's `traceparent` by that of its span.

    So a record that is derived from it, such as a dead letter, continues the trace from this span.
    """
    size = sum(len(batch.records) for batch in batches)
    spans = (_start_span(role, record, size) for batch in batches for record in batch.records if record.headers)
    return [span for span in spans if span is not None]


def _start_span(role: str, record: Record, batch_size: int) -> Span | None:
    for position, (name, value) in enumerate(record.headers):
        if name == TRACEPARENT and (parent := parse_traceparent(value or b"")) is not None:
            span = TRACING.start_span(
                f"{role} {record.topic}",
                SpanKind.CONSUMER,
                parent=parent,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": record.topic,
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                    "messaging.batch.message_count": batch_size,
                },
            )
            record.headers = [*record.headers]
            record.headers[position] = traceparent_header(span.get_span_context())
            return span
    return None
