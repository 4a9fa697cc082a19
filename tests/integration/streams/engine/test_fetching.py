"""Fetching: one batch per fetch, a pause between fetches, no delay after idle time."""

import time
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest

from gateway.stack.polling import wait_until
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch import Batch
from streams.engine.consumer_thread import FETCH_PAUSE_SECONDS
from tests.support.apps import ManualAgent, running
from tests.support.batches import WAIT, app_of, values
from tests.support.kafka_records import writer


async def test_records_of_one_fetch_are_one_batch_in_order(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    agent = ManualAgent(app, topic)
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 500))
        assert await agent.have(1)
        await log.together(topic, values(500, 700))
        assert await agent.have(2)
    batches: list[Batch] = [event.value for event in agent.events]
    assert [len(batch.records) for batch in batches] == [500, 200]
    assert [record.value for batch in batches for record in batch.records] == values(0, 700)
    assert [batch.next_offset for batch in batches] == [500, 700]
    assert {batch.tp for batch in batches} == {(topic, 0)}


async def test_next_fetch_waits_after_a_response(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    agent = ManualAgent(app, topic)
    asked, answered = list[float](), list[float]()
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 1))
        assert await agent.have(1)
        client = app.consumer._thread._consumer._client
        send = client.send

        async def noted(node: int, request: Any, **options: Any) -> Any:
            if not isinstance(request, FetchRequest):
                return await send(node, request, **options)
            asked.append(time.monotonic())
            answer = await send(node, request, **options)
            answered.append(time.monotonic())
            return answer

        client.send = noted
        number = 1
        while len(answered) < 5:
            await log.together(topic, values(number, number + 1))
            number += 1
        assert await wait_until(lambda: sum(len(event.value.records) for event in agent.events) == number, WAIT)
    pauses = [next_asked - at for at, next_asked in zip(answered, asked[1:], strict=False)]
    assert len(pauses) >= 4
    assert min(pauses) > FETCH_PAUSE_SECONDS - 0.001


async def test_record_after_idle_time_is_delivered_at_once(
    kafka: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.engine.consumer_thread.FETCH_WAIT_MS", 8_000)
    app = app_of(kafka)
    agent = ManualAgent(app, topic)
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 1))
        assert await agent.have(1)
        # The next fetch goes to the log, which holds it for as long as it may.
        assert await wait_until(lambda: bool(app.consumer._thread._consumer._fetcher._in_flight), WAIT)
        begun = time.monotonic()
        await log.together(topic, values(1, 2))
        assert await agent.have(2)
        assert time.monotonic() - begun < 6
