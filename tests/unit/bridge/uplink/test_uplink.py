"""When the uplink acknowledges a message, and how long the oldest one has waited."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.mqtt.packet_reader import Message
from bridge.uplink.uplink import Uplink
from schemas.mqtt.routing import Route, Routes
from schemas.records.topics import TopicNames


async def test_oldest_seconds_is_the_age_of_the_oldest_message() -> None:
    connection: Any = SimpleNamespace(acknowledge=print, pause=lambda: None, resume=lambda: None)
    no_producer: Any = None
    uplink = Uplink(no_producer, TopicNames(""), Routes([Route("#", None)]), 10)
    stored = [asyncio.get_running_loop().create_future() for _ in range(2)]
    assert uplink.oldest_seconds == 0
    for evidence, seconds in zip(stored, (40, 20), strict=True):
        message = Message("t", received_ms=int((time.time() - seconds) * 1000))
        uplink.acknowledge_after(evidence, connection, message)
    assert uplink.oldest_seconds == pytest.approx(40, abs=5)
    for evidence, left in zip(stored, (20, 0), strict=True):
        evidence.set_result(None)
        await asyncio.sleep(0)
        assert uplink.oldest_seconds == pytest.approx(left, abs=5 if left else 0)


class _PendingWriter:
    """Takes records; `stored` says when Kafka has the batch."""

    def __init__(self) -> None:
        self.stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = asyncio.Event()

    async def add(self, **_record: Any) -> asyncio.Future[None]:
        return self.stored

    async def send_batches(self) -> None:
        self.sent.set()


async def test_a_message_gets_its_puback_after_kafka_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = _PendingWriter()
    monkeypatch.setattr("bridge.uplink.uplink.BatchWriter", lambda _producer: writer)
    acknowledged: list[Message] = []
    connection: Any = SimpleNamespace(acknowledge=acknowledged.extend, pause=lambda: None, resume=lambda: None)
    monkeypatch.setattr("bridge.uplink.uplink.Connection", SimpleNamespace(acknowledge=lambda c, m: c.acknowledge(m)))
    no_producer: Any = None
    uplink = Uplink(no_producer, TopicNames(""), Routes([Route("#", None)]), 10)
    uplink.attach(connection)
    running = asyncio.create_task(uplink.run())
    message = Message("t", qos=1, received_ms=1)
    uplink.receive(connection, message)
    await writer.sent.wait()
    assert acknowledged == []
    writer.stored.set_result(None)
    await uplink.flush()
    assert acknowledged == [message]
    running.cancel()
