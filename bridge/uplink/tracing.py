"""Where the trace of a sampled message begins: from its receipt until the log has it."""

import asyncio
from typing import Any

from bridge.mqtt.packet_reader import Message
from runtime.traces import TRACES, Span
from schemas.records import topics


def begin_trace(record: dict[str, Any], message: Message) -> Span | None:
    """Begin the trace of a message that was chosen; its record for the log is given the traceparent.

    Returns None where traces are off.
    """
    headers = record["headers"]
    span = TRACES.begin(
        "bridge receive",
        "server",
        started=message.received_ms / 1000,
        attributes={
            "messaging.system": "mqtt",
            "messaging.operation.type": "receive",
            "messaging.destination.name": dict(headers)[topics.HEADER_TOPIC].decode(),
            "messaging.message.body.size": len(message.payload),
            "gateway.log.topic": record["topic"],
            **({} if record["key"] is None else {"gateway.ven.id": record["key"].decode(errors="replace")}),
        },
    )
    if span is not None:
        headers.append(span.place.header())
    return span


def end_trace(span: Span, written: "asyncio.Future[Any]") -> None:
    """End the bridge's part, for the log has the message or has refused it."""
    if not written.cancelled():
        error = written.exception()
        span.end(None if error is None else str(error))
