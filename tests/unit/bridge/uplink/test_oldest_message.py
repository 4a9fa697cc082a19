"""How long the oldest message waits for the log, and what a trace tells of it."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.mqtt.packet_reader import Message
from bridge.uplink.tracing import begin_trace, end_trace
from bridge.uplink.uplink import Uplink
from runtime.traces import TRACES, Span
from schemas.mqtt.routing import Route, Routes
from schemas.records.topics import HEADER_TOPIC, TopicNames
from schemas.records.tracing import Place
from schemas.settings.blocks import TraceSettings


async def test_oldest_seconds_is_the_age_of_the_oldest_message() -> None:
    line: Any = SimpleNamespace(acknowledge=print, pause=lambda: None, resume=lambda: None)
    nobody: Any = None
    uplink = Uplink(nobody, TopicNames(""), Routes([Route("#", None)]), 10)
    evidences = [asyncio.get_running_loop().create_future() for _ in range(2)]
    assert uplink.oldest_seconds == 0
    for evidence, seconds in zip(evidences, (40, 20), strict=True):
        uplink.acknowledge_after(evidence, line, Message("t", received_ms=int((time.time() - seconds) * 1000)))
    assert uplink.oldest_seconds == pytest.approx(40, abs=5)
    for evidence, left in zip(evidences, (20, 0), strict=True):
        evidence.set_result(None)
        await asyncio.sleep(0)
        assert uplink.oldest_seconds == pytest.approx(left, abs=5 if left else 0)


@pytest.mark.parametrize("refusal", [None, "the record is too large"])
async def test_a_trace_begins_at_the_receipt_and_tells_whether_the_log_took_it(refusal: str | None) -> None:
    told: list[tuple[Span, int, str | None]] = []
    exporter: Any = SimpleNamespace(export=lambda *ended: told.append(ended), close=lambda: None)
    record = {"topic": "ven.raw.metering", "key": b"ven-1", "headers": [(HEADER_TOPIC, b"volttron/metering")]}
    with TRACES.exporting(TraceSettings(trace_messages=1), "test", exporter):
        span = begin_trace(record, Message("volttron/metering", b"{}", received_ms=1_795_500_000_123))
        assert span is not None
        written = asyncio.get_running_loop().create_future()
        if refusal is None:
            written.set_result(None)
        else:
            written.set_exception(RuntimeError(refusal))
        end_trace(span, written)
    ((ended, ended_ns, failed),) = told
    assert (ended.name, ended.parent, failed) == ("bridge receive", None, refusal)
    assert ended.started_ns == pytest.approx(1_795_500_000_123_000_000, abs=1_000)
    assert ended_ns > ended.started_ns
    assert ended.attributes["gateway.ven.id"] == "ven-1"
    # The log's record names the span, so that `validate` goes on from it.
    assert Place.parse(record["headers"][-1][1]) == ended.place  # type: ignore[index]
