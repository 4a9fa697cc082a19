"""Span contexts: the `traceparent` header, and ids that every process computes alike."""

import pytest

from schemas.records.tracing import (
    TRACEPARENT,
    command_log_span,
    command_request_span,
    event_phase_span,
    event_request_span,
    is_sampled,
    parse_traceparent,
    traceparent_header,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
EVT_1 = b"00-70e50dc868a2d65956dcbf4480f2523b-5137d0ea3cb4d710-01"


def test_a_header_is_read_and_written_as_w3c_defines_it() -> None:
    span = parse_traceparent(f"00-{TRACE}-{SPAN}-01".encode())
    assert span is not None
    assert (span.trace_id, span.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert traceparent_header(span) == (TRACEPARENT, f"00-{TRACE}-{SPAN}-01".encode())


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
def test_malformed_and_unsampled_headers_are_none(header: str) -> None:
    assert parse_traceparent(header.encode()) is None


def test_later_versions_may_have_more_fields_and_flags() -> None:
    span = parse_traceparent(f"01-{TRACE}-{SPAN}-03-more".encode())
    assert span is not None
    assert (span.trace_id, span.span_id) == (int(TRACE, 16), int(SPAN, 16))


def test_the_steps_of_an_event_are_distinct_spans_of_one_trace() -> None:
    spans = [
        event_request_span("evt-1"),
        event_phase_span("evt-1", "event"),
        event_phase_span("evt-1", "restore"),
        command_log_span("evt-evt-1-a", "evt-1"),
        command_log_span("evt-evt-1-b", "evt-1"),
        command_log_span("evt-evt-1-a", "evt-1", attempt=2),
        command_request_span("evt-evt-1-a", "evt-1"),
    ]
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.span_id for span in spans}) == len(spans)
    assert event_request_span("evt-2").trace_id != spans[0].trace_id
    # Other processes, and other versions that run beside this one, have to compute the same.
    assert traceparent_header(event_request_span("evt-1"))[1] == EVT_1


def test_the_sampled_share_of_names_is_the_ratio() -> None:
    names = [f"evt-{number}" for number in range(10_000)]
    sampled = {name for name in names if is_sampled(name, 0.1)}
    assert 900 < len(sampled) < 1100
    assert sampled < {name for name in names if is_sampled(name, 0.2)}
    assert not any(is_sampled(name, 0) for name in names)
    assert all(is_sampled(name, 1) for name in names)
