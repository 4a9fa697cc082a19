"""The first span of a message: from its receipt until Kafka has stored or refused it."""

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge.mqtt.packet_reader import Message
from bridge.uplink.tracing import end_message_span, start_message_span
from runtime.tracing import TRACING
from schemas.records.topics import HEADER_TOPIC
from schemas.records.tracing import parse_traceparent
from schemas.settings.blocks import TraceSettings


@pytest.mark.parametrize("refusal", [None, "the record is too large"])
async def test_a_message_span_starts_at_receipt_and_has_the_result(refusal: str | None) -> None:
    exporter = InMemorySpanExporter()
    headers = [(HEADER_TOPIC, b"volttron/metering")]
    record: dict[str, Any] = {"topic": "ven.raw.metering", "key": b"ven-1", "headers": headers}
    with TRACING.exporting(TraceSettings(trace_messages=1), "test", exporter):
        span = start_message_span(record, Message("volttron/metering", b"{}", received_ms=1_795_500_000_123))
        stored = asyncio.get_running_loop().create_future()
        if refusal is None:
            stored.set_result(None)
        else:
            stored.set_exception(RuntimeError(refusal))
        end_message_span(span, stored)
    (exported,) = exporter.get_finished_spans()
    assert (exported.name, exported.parent, exported.status.description) == ("bridge receive", None, refusal)
    assert exported.start_time == pytest.approx(1_795_500_000_123_000_000, abs=1_000)
    assert (exported.end_time or 0) > (exported.start_time or 0) > 0
    assert exported.attributes is not None
    assert exported.attributes["gateway.ven.id"] == "ven-1"
    # `validate` continues the trace from the record's header.
    parent = parse_traceparent(headers[-1][1])
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (exported.context.trace_id, exported.context.span_id)
