"""Batches that have arrived are processed together and committed after the work."""

import asyncio
from typing import Any

from gateway.stack.polling import wait_until
from schemas.records.topics import TELEMETRY
from streams.engine.batch_processing import BATCH_BYTES, merged_batches
from streams.engine.consumer_thread import FETCH_PARTITION_BYTES
from tests.support.apps import running
from tests.support.batches import ROLE, WAIT, app_of, until_committed, values
from tests.support.kafka_records import writer
from tests.support.servers import Topics, committed


async def test_arrived_batches_merge_and_commit_after_the_body(topics: Topics) -> None:
    kafka = await topics.fresh(partitions=2)
    topic = kafka.topics(TELEMETRY)
    app = app_of(kafka)
    bodies: list[list[tuple[int, int]]] = []
    steps: asyncio.Semaphore = asyncio.Semaphore(0)
    channels: list[Any] = []

    @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
    async def step_by_step(stream: Any) -> None:
        channels.append(stream.channel)
        async for batches in merged_batches(stream, 40):
            bodies.append([(batch.tp.partition, len(batch.records)) for batch in batches])
            await steps.acquire()

    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 5))
        assert await wait_until(lambda: len(bodies) == 1, WAIT)
        for waiting, partition in enumerate((0, 1, 0, 1, 0), start=1):
            await log.together(topic, values(0, 10), partition)
            assert await wait_until(lambda waiting=waiting: channels[0].queue.qsize() == waiting, WAIT)  # type: ignore[misc]
        await app.consumer.commit()
        assert await committed(kafka, ROLE, topic) == {}
        steps.release()
        assert await wait_until(lambda: len(bodies) == 2, WAIT)
        await app.consumer.commit()
        assert await committed(kafka, ROLE, topic) == {0: 5}
        steps.release()
        assert await wait_until(lambda: len(bodies) == 3, WAIT)
        steps.release()
        assert await until_committed(kafka, topic, 35, 0)
        assert await until_committed(kafka, topic, 20, 1)
    assert bodies == [[(0, 5)], [(0, 10), (1, 10), (0, 10), (1, 10)], [(0, 10)]]


async def test_merged_batches_are_limited_in_bytes(topics: Topics) -> None:
    kafka = await topics.fresh(partitions=4)
    topic = kafka.topics(TELEMETRY)
    app = app_of(kafka)
    large = bytes(900_000)
    bodies: list[int] = []
    go_on = asyncio.Event()
    channels: list[Any] = []

    @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
    async def wait_first(stream: Any) -> None:
        channels.append(stream.channel)
        async for batches in merged_batches(stream, 2000):
            bodies.append(sum(len(record.value) for batch in batches for record in batch.records))
            await go_on.wait()

    async with writer(kafka) as log, running(app):
        await asyncio.gather(*(log.one(topic, large, number % 4) for number in range(100)))
        # What is fetched ahead is bounded as well: so many batches, of one such record each.
        assert await wait_until(lambda: len(bodies) == 1, WAIT)
        assert await wait_until(channels[0].queue.full, WAIT)
        assert channels[0].queue.qsize() == app.conf.stream_buffer_maxsize
        go_on.set()
        assert await wait_until(lambda: sum(bodies) == 100 * len(large), WAIT)
        for partition in range(4):
            assert await until_committed(kafka, topic, 25, partition)
    assert max(bodies) <= BATCH_BYTES + FETCH_PARTITION_BYTES
