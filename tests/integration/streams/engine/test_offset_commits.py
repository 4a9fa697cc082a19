"""Which offsets the batch consumer commits: driven by hand, and with two workers that exchange partitions."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from aiokafka import ConsumerRecord
from faust.types import TP

from gateway.stack.polling import wait_until
from schemas.records.topics import TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.app import make_app
from streams.engine.batch import Batch
from streams.engine.batch_processing import merged_batches
from tests.support.apps import ManualAgent, running
from tests.support.kafka_records import writer
from tests.support.servers import Topics, committed

WAIT = 60
ONE, OTHER = TP("ven.telemetry", 0), TP("ven.telemetry", 1)
GENERATION = 5


@pytest_asyncio.fixture
async def consumer() -> AsyncIterator[Any]:
    """A consumer that is never started: nobody listens at its address."""
    app = make_app("by-hand", KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1"), StreamsSettings())
    app.finalize()
    app.loop = asyncio.get_running_loop()
    app.consumer_generation_id = GENERATION
    yield app.consumer
    app.consumer._thread.thread_loop.close()


def deliver(consumer: Any, tp: TP, *offsets: int) -> Any:
    """Do what getmany does with the records of one fetch."""
    records: list[Any] = [
        ConsumerRecord(tp.topic, tp.partition, offset, 0, 0, None, b"", None, 0, 0, ()) for offset in offsets
    ]
    batch = Batch(tp, records)
    consumer._delivered[tp].append(batch)
    message = consumer._to_message(tp, records[-1])
    message.value = batch
    consumer.track_message(message)
    return message


def finish(consumer: Any, message: Any) -> bool:
    message.value.finished = True
    return bool(consumer.ack(message))


async def test_offset_is_committed_only_from_the_head(consumer: Any) -> None:
    first, second, third = (deliver(consumer, ONE, *range(start, start + 10)) for start in (0, 10, 20))
    assert finish(consumer, third)
    assert finish(consumer, second)
    assert consumer._new_offset(ONE) is None
    assert finish(consumer, first)
    assert consumer._new_offset(ONE) == 30
    assert consumer._new_offset(ONE) is None


async def test_finished_batches_are_dropped_before_the_commit(consumer: Any) -> None:
    first, second, third = (deliver(consumer, ONE, offset) for offset in range(3))
    finish(consumer, second)
    assert [batch.next_offset for batch in consumer._delivered[ONE]] == [1, 2, 3]
    finish(consumer, first)
    assert [batch.next_offset for batch in consumer._delivered[ONE]] == [3]
    finish(consumer, third)
    assert not consumer._delivered[ONE]
    assert consumer._new_offset(ONE) == 3


async def test_missing_offsets_are_no_gap(consumer: Any) -> None:
    first, second = deliver(consumer, ONE, 3, 4, 9), deliver(consumer, ONE, 50, 51)
    await consumer._add_gap(ONE, 10, 49)
    finish(consumer, second)
    assert consumer._new_offset(ONE) is None
    finish(consumer, first)
    assert consumer._new_offset(ONE) == 52
    assert consumer._read_offset[ONE] is None


async def test_unfinished_batch_ignores_acknowledgement_by_faust(consumer: Any) -> None:
    skipped = deliver(consumer, ONE, 0)
    assert not consumer.ack(skipped)
    assert skipped not in consumer.unacked
    assert consumer._new_offset(ONE) is None


async def test_acknowledgement_of_older_generation_is_ignored(consumer: Any) -> None:
    old = deliver(consumer, ONE, 0)
    consumer.app.consumer_generation_id = GENERATION + 1
    assert not finish(consumer, old)
    assert consumer._new_offset(ONE) is None


async def test_batch_from_before_a_rebalance_is_redelivered(topics: Topics) -> None:
    kafka = await topics.fresh(partitions=2)
    topic = kafka.topics(TELEMETRY)
    first, second = (make_app("workers", kafka, StreamsSettings(streams_session_timeout=6)) for _ in range(2))
    first_agent, second_agent = ManualAgent(first, topic), ManualAgent(second, topic)
    async with writer(kafka) as log, running(first):
        for partition in range(2):
            await log.together(topic, [b"x"] * 10, partition)
        assert await first_agent.have(2)
        before = first_agent.events[:]
        async with running(second):
            assert await wait_until(lambda: bool(second_agent.events) and len(first_agent.events) > len(before), WAIT)
            for event in before:
                await first_agent.finish(event)
            await first.consumer.commit()
            assert await committed(kafka, "workers", topic) == {}
            assert {tp for tp in first.consumer._delivered if tp.topic == topic} == {first_agent.events[-1].value.tp}
            again = first_agent.events[2:] + second_agent.events
            assert {(event.value.tp.partition, event.value.next_offset) for event in again} == {(0, 10), (1, 10)}


async def test_workers_that_join_and_leave_lose_nothing(topics: Topics) -> None:
    kafka = await topics.fresh(partitions=4)
    topic = kafka.topics(TELEMETRY)
    processed: set[tuple[int, int]] = set()
    workers: dict[str, set[int]] = {"first": set(), "second": set()}

    def worker(name: str) -> Any:
        app = make_app("workers", kafka, StreamsSettings(streams_session_timeout=6))

        @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
        async def process(stream: Any) -> None:
            async for batches in merged_batches(stream, 50):
                for batch in batches:
                    workers[name].add(batch.tp.partition)
                    processed.update((record.partition, record.offset) for record in batch.records)

        return app

    written = 0
    enough = asyncio.Event()

    async def write_on() -> None:
        nonlocal written
        async with writer(kafka) as log:
            while not enough.is_set():
                for partition in range(4):
                    await log.together(topic, [b"x"] * 10, partition)
                written += 10

    writing = asyncio.create_task(write_on())
    first, second = worker("first"), worker("second")
    async with running(second):
        async with running(first):
            assert await wait_until(lambda: bool(workers["first"] and workers["second"]), WAIT)
            seen = len(processed)
            assert await wait_until(lambda: len(processed) > seen + 500, WAIT)
            assigned = set(first.consumer.assignment()) | set(second.consumer.assignment())
            assert {tp for tp in assigned if tp.topic == topic} == {TP(topic, number) for number in range(4)}
            assert set(second.consumer._delivered) <= set(second.consumer.assignment())
        seen = len(processed)
        assert await wait_until(lambda: len(processed) > seen + 500, WAIT)
        enough.set()
        await writing
        everything = {(partition, offset) for partition in range(4) for offset in range(written)}
        assert await wait_until(lambda: processed == everything, WAIT)

        async def all_committed() -> bool:
            return await committed(kafka, "workers", topic) == dict.fromkeys(range(4), written)

        assert await wait_until(all_committed, WAIT)
