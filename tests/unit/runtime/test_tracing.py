"""Tracing: sampled spans are exported with their ids, and nothing happens while it is off."""

import sys
import threading
import time
from typing import Any

import pytest
from faust.types import TP
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from runtime.tracing import TRACING, end_span
from schemas.base.errors import GatewayError
from schemas.records.tracing import TRACEPARENT, event_phase_span, event_request_span
from schemas.settings.blocks import SettingsError, TraceSettings
from streams.engine.batch import Batch
from streams.engine.tracing import start_record_spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARTITION = TP("ven.telemetry", 3)
EVERYTHING = TraceSettings(trace_messages=1, trace_commands=1)


class Record:
    """The parts of aiokafka's ConsumerRecord that count here."""

    topic, partition, offset = "ven.telemetry", 3, 17

    def __init__(self, *headers: tuple[str, bytes | None]) -> None:
        self.headers: Any = headers


def test_nothing_is_sampled_or_exported_while_tracing_is_off() -> None:
    exporter = InMemorySpanExporter()
    with TRACING.exporting(TraceSettings(), "test", exporter):
        assert not TRACING.on
        assert not TRACING.samples_events
        assert not TRACING.samples_message()
        assert not TRACING.samples_command("evt-1")
        span = TRACING.start_span("a", SpanKind.SERVER)
        assert not span.is_recording()
        end_span(span, "failed")
    assert exporter.get_finished_spans() == ()


def test_a_sampled_record_carries_the_span_of_its_batch() -> None:
    traceparent = (TRACEPARENT, f"00-{TRACE}-{SPAN}-01".encode())
    traced = Record(("a", b"1"), traceparent, ("b", None))
    others = [Record(), Record(("a", b"1")), Record((TRACEPARENT, b"none")), Record((TRACEPARENT, None))]
    exporter = InMemorySpanExporter()
    with TRACING.exporting(EVERYTHING, "test", exporter):
        for span in start_record_spans("sink", [Batch(PARTITION, [others[0], traced]), Batch(PARTITION, others[1:])]):
            span.end()
    (exported,) = exporter.get_finished_spans()
    assert exported.name == "sink ven.telemetry"
    assert exported.kind is SpanKind.CONSUMER
    assert exported.status.is_unset
    assert exported.parent is not None
    assert (exported.parent.trace_id, exported.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert exported.attributes is not None
    assert exported.attributes["messaging.batch.message_count"] == 5
    assert exported.resource.attributes["service.name"] == "gateway-test"
    (before, (name, value), after) = traced.headers
    assert (before, name, after) == (("a", b"1"), TRACEPARENT, ("b", None))
    assert value == f"00-{TRACE}-{exported.context.span_id:016x}-01".encode()
    assert value != traceparent[1]
    assert [len(record.headers) for record in others] == [0, 1, 1, 1]
    assert not TRACING.on


def test_a_span_has_the_given_ids_and_the_next_one_random_ids() -> None:
    exporter = InMemorySpanExporter()
    root, phase = event_request_span("evt-1"), event_phase_span("evt-1", "event")
    with TRACING.exporting(EVERYTHING, "test", exporter):
        TRACING.start_span("root", SpanKind.SERVER, given=root, start=1_795_500_000.5).end()
        TRACING.start_span("phase", SpanKind.INTERNAL, parent=root, given=phase).end()
        TRACING.start_span("child", SpanKind.CONSUMER, parent=phase).end()
        end_span(TRACING.start_span("other", SpanKind.SERVER), "no")
    first, second, child, other = exporter.get_finished_spans()
    assert (first.context.trace_id, first.context.span_id, first.parent) == (root.trace_id, root.span_id, None)
    assert first.start_time == 1_795_500_000_500_000_000
    assert (second.context.trace_id, second.context.span_id) == (phase.trace_id, phase.span_id)
    assert second.parent is not None
    assert second.parent.span_id == root.span_id
    assert child.context.trace_id == phase.trace_id
    assert child.context.span_id not in (phase.span_id, root.span_id)
    assert other.context.trace_id != root.trace_id
    assert (other.status.is_ok, other.status.description) == (False, "no")


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "runtime.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(GatewayError, match=r"opentelemetry\.sdk\.trace is missing.*grid-event-gateway\[tracing\]"),
        TRACING.exporting(EVERYTHING, "test"),
    ):
        pass
    assert not TRACING.on


def test_an_unreachable_collector_does_not_delay_the_end() -> None:
    nowhere = TraceSettings(trace_messages=1, otel_exporter_otlp_endpoint="http://127.0.0.1:1")
    with TRACING.exporting(nowhere, "test"):
        TRACING.start_span("a", SpanKind.SERVER).end()
        ending = time.monotonic()
    assert time.monotonic() - ending < 8
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("last spans", "OtelBatch"))]


def test_an_invalid_collector_address_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        TraceSettings.load(otel_exporter_otlp_endpoint="collector:4318")
