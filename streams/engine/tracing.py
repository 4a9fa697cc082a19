"""The sampled records of what a role works on: each has a span from the moment its batch is taken up to its end."""

from collections.abc import Sequence
from typing import Any, Protocol

from runtime.traces import TRACES, Span
from schemas.records.tracing import TRACEPARENT, Place


class Batch(Protocol):
    """Records that were fetched together: aiokafka's ConsumerRecord, whose headers can be set."""

    @property
    def records(self) -> Sequence[Any]:
        """All of them."""


def take_up(role: str, batches: Sequence[Batch]) -> list[Span]:
    """Begin a span for each record that belongs to a trace; from here on the record names that span as its place.

    So whatever is sent on with the record's own header, a dead letter for example, is the next step of this one.
    """
    together = sum(len(batch.records) for batch in batches)
    found = (_take_up(role, record, together) for batch in batches for record in batch.records if record.headers)
    return [span for span in found if span is not None]


def _take_up(role: str, record: Any, together: int) -> Span | None:
    for position, (name, value) in enumerate(record.headers):
        if name == TRACEPARENT and (parent := Place.parse(value or b"")) is not None:
            span = TRACES.begin(
                f"{role} {record.topic}",
                "consumer",
                parent=parent,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": record.topic,
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                    "messaging.batch.message_count": together,
                },
            )
            if span is not None:
                record.headers = [*record.headers]
                record.headers[position] = span.place.header()
            return span
    return None
