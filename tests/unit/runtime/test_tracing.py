"""Traces: the traceparent, places that every process finds alike, and that nothing is told while they are off."""

import sys
import threading
import time
from typing import Any

import pytest

from runtime.traces import TRACES, Span
from schemas.base.errors import GatewayError
from schemas.records.tracing import TRACEPARENT, Place, asked_place, command_place, is_chosen, phase_place
from schemas.settings.blocks import SettingsError, TraceSettings
from streams.engine.tracing import take_up

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
EVERYTHING = TraceSettings(trace_messages=1, trace_commands=1)


class Kept:
    """An exporter that keeps what it is told."""

    def __init__(self) -> None:
        self.spans: list[tuple[Span, str | None]] = []
        self.closed = False

    def export(self, span: Span, ended_ns: int, failed: str | None) -> None:
        assert ended_ns >= span.started_ns
        self.spans.append((span, failed))

    def close(self) -> None:
        self.closed = True


class Record:
    """What aiokafka hands out, as far as it matters here."""

    topic, partition, offset = "ven.telemetry", 3, 17

    def __init__(self, *headers: tuple[str, bytes | None]) -> None:
        self.headers: Any = headers


class Batch:
    def __init__(self, *records: Record) -> None:
        self.records = records


def test_a_place_is_written_and_read_as_the_w3c_has_it() -> None:
    place = Place.parse(f"00-{TRACE}-{SPAN}-01".encode())
    assert place == Place(int(TRACE, 16), int(SPAN, 16))
    assert place.header() == (TRACEPARENT, f"00-{TRACE}-{SPAN}-01".encode())


@pytest.mark.parametrize(
    "header",
    [
        f"00-{TRACE}-{SPAN}-00",  # not sampled
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        "",
        "\x00\xff",
    ],
)
def test_what_is_no_sampled_place_is_none(header: str) -> None:
    assert Place.parse(header.encode()) is None


def test_a_later_version_may_have_more_at_its_end_and_more_flags() -> None:
    assert Place.parse(f"01-{TRACE}-{SPAN}-03-more".encode()) == Place(int(TRACE, 16), int(SPAN, 16))


def test_steps_of_an_event_are_in_one_trace_and_none_is_another() -> None:
    places = [
        asked_place("evt-1"),
        phase_place("evt-1", "event"),
        phase_place("evt-1", "restore"),
        command_place("evt-evt-1-a", "evt-1"),
        command_place("evt-evt-1-b", "evt-1"),
        command_place("evt-evt-1-a", "evt-1", attempt=2),
    ]
    assert len({place.trace_id for place in places}) == 1
    assert len({place.span_id for place in places}) == len(places)
    assert asked_place("evt-2").trace_id != places[0].trace_id
    # Other processes, and other versions that run beside this one, have to find the same.
    assert asked_place("evt-1").header()[1] == ASKED


ASKED = b"00-70e50dc868a2d65956dcbf4480f2523b-5137d0ea3cb4d710-01"


def test_the_share_of_names_that_is_chosen_is_the_one_that_was_asked_for() -> None:
    names = [f"evt-{number}" for number in range(10_000)]
    chosen = {name for name in names if is_chosen(name, 0.1)}
    assert 900 < len(chosen) < 1100
    assert chosen < {name for name in names if is_chosen(name, 0.2)}
    assert not any(is_chosen(name, 0) for name in names)
    assert all(is_chosen(name, 1) for name in names)


def test_nothing_is_told_and_nobody_is_chosen_while_traces_are_off() -> None:
    kept = Kept()
    with TRACES.exporting(TraceSettings(), "test", kept):
        assert not TRACES.on
        assert not TRACES.events
        assert not TRACES.choose_message()
        assert not TRACES.choose_command("evt-1")
        assert TRACES.begin("a", "server") is None


def test_a_record_of_a_trace_names_the_span_of_whoever_works_on_it() -> None:
    parent = Place(int(TRACE, 16), int(SPAN, 16))
    traced = Record(("a", b"1"), parent.header(), ("b", None))
    others = [Record(), Record(("a", b"1")), Record((TRACEPARENT, b"none")), Record((TRACEPARENT, None))]
    kept = Kept()
    with TRACES.exporting(EVERYTHING, "test", kept):
        spans = take_up("sink", [Batch(others[0], traced), Batch(*others[1:])])
        for span in spans:
            span.end()
    ((told, failed),) = kept.spans
    assert (told.name, told.parent, failed) == ("sink ven.telemetry", parent, None)
    assert told.place.trace_id == parent.trace_id
    assert told.place.span_id != parent.span_id
    assert told.attributes["messaging.batch.message_count"] == 5
    assert traced.headers == [("a", b"1"), told.place.header(), ("b", None)]
    assert [len(record.headers) for record in others] == [0, 1, 1, 1]
    assert kept.closed
    assert not TRACES.on


def test_traces_without_opentelemetry_are_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "runtime.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(GatewayError, match=r"opentelemetry\.sdk\.trace is missing.*grid-event-gateway\[tracing\]"),
        TRACES.exporting(EVERYTHING, "test"),
    ):
        pass
    assert not TRACES.on


def test_a_collector_that_is_away_keeps_no_process_from_ending() -> None:
    nowhere = TraceSettings(trace_messages=1, otel_exporter_otlp_endpoint="http://127.0.0.1:1")
    with TRACES.exporting(nowhere, "test"):
        span = TRACES.begin("a", "server")
        assert span is not None
        span.end()
        ending = time.monotonic()
    assert time.monotonic() - ending < 8
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("last spans", "OtelBatch"))]


def test_an_address_of_no_collector_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        TraceSettings.load(otel_exporter_otlp_endpoint="collector:4318")
