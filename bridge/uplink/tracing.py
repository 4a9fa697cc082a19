"""The first span of a sampled message: from its receipt until Kafka has stored it."""

import asyncio
from typing import Any

from opentelemetry.trace import Span, SpanKind

from bridge.mqtt.packet_reader import Message
from runtime.tracing import TRACING, end_span
from schemas.records import topics
from schemas.records.tracing import traceparent_header


def start_message_span(record: dict[str, Any], message: Message) -> Span:
    """Start the trace of a message, and add the `traceparent` header to its Kafka record."""
    span = TRACING.start_span(
        "bridge receive",
        SpanKind.SERVER,
        start=message.received_ms / 1000,
        attributes={
            "messaging.system": "mqtt",
            "messaging.operation.type": "receive",
            "messaging.destination.name": dict(record["headers"])[topics.HEADER_TOPIC].decode(),
            "messaging.message.body.size": len(message.payload),
            "gateway.log.topic": record["topic"],
            **({} if record["key"] is None else {"gateway.ven.id": record["key"].decode(errors="replace")}),
        },
    )
    record["headers"].append(traceparent_header(span.get_span_context()))
    return span


def end_message_span(span: Span, stored: "asyncio.Future[Any]") -> None:
    """End the span: Kafka has stored the message, or has refused it."""
    if not stored.cancelled():
        error = stored.exception()
        end_span(span, None if error is None else str(error))
