"""Every sharp edge of the batch consumer on a real log: an upgrade of Faust that breaks one fails here."""

import asyncio
import time
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.protocol.fetch import FetchRequest

from gateway.stack.polling import until
from schemas.records.topics import TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.app import make_app
from streams.engine.batch import Batch
from streams.engine.batch_consumer import FETCH_PARTITION_BYTES, FETCH_PAUSE_SECONDS
from streams.engine.batch_processing import BATCH_BYTES, merged_batches
from tests.support.apps import ManualAgent, running
from tests.support.log import writer
from tests.support.servers import Topics, committed

ROLE = "batches"
WAIT = 60


@pytest_asyncio.fixture
async def kafka(topics: Topics) -> KafkaSettings:
    return await topics.fresh(partitions=1)


@pytest.fixture
def topic(kafka: KafkaSettings) -> str:
    return kafka.topics(TELEMETRY)


def app_of(kafka: KafkaSettings) -> Any:
    return make_app(ROLE, kafka, StreamsSettings())


def values(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


async def until_committed(kafka: KafkaSettings, topic: str, offset: int, partition: int = 0) -> bool:
    async def reached() -> bool:
        return (await committed(kafka, ROLE, topic)).get(partition) == offset

    return await until(reached, WAIT)


async def test_records_of_one_fetch_are_one_batch_in_order(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    held = ManualAgent(app, topic)
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 500))
        assert await held.have(1)
        await log.together(topic, values(500, 700))
        assert await held.have(2)
    batches: list[Batch] = [event.value for event in held.events]
    assert [len(batch.records) for batch in batches] == [500, 200]
    assert [record.value for batch in batches for record in batch.records] == values(0, 700)
    assert [batch.next_offset for batch in batches] == [500, 700]
    assert {batch.tp for batch in batches} == {(topic, 0)}


async def test_next_fetch_waits_after_a_response(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    held = ManualAgent(app, topic)
    asked, answered = list[float](), list[float]()
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 1))
        assert await held.have(1)
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
        assert await until(lambda: sum(len(event.value.records) for event in held.events) == number, WAIT)
    pauses = [next_asked - at for at, next_asked in zip(answered, asked[1:], strict=False)]
    assert len(pauses) >= 4
    assert min(pauses) > FETCH_PAUSE_SECONDS - 0.001


async def test_record_after_idle_time_is_delivered_at_once(
    kafka: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.engine.batch_consumer.FETCH_WAIT_MS", 8_000)
    app = app_of(kafka)
    held = ManualAgent(app, topic)
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 1))
        assert await held.have(1)
        # The next fetch goes to the log, which holds it for as long as it may.
        assert await until(lambda: bool(app.consumer._thread._consumer._fetcher._in_flight), WAIT)
        begun = time.monotonic()
        await log.together(topic, values(1, 2))
        assert await held.have(2)
        assert time.monotonic() - begun < 6


async def test_age_of_oldest_batch_shows_until_it_is_finished(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    held = ManualAgent(app, topic)
    assert app.oldest_unfinished_seconds() == 0
    async with writer(kafka) as log, running(app):
        assert app.oldest_unfinished_seconds() == 0
        await log.together(topic, values(0, 2))
        assert await held.have(1)
        await asyncio.sleep(0.05)  # so that the log gets the second one later
        await log.together(topic, values(2, 4))
        assert await held.have(2)
        first, second = held.events
        logged = [event.value.records[0].timestamp / 1000 for event in (first, second)]

        def is_oldest(logged_at: float) -> bool:
            before, seconds, after = time.time(), app.oldest_unfinished_seconds(), time.time()
            return bool(before - logged_at - 1e-3 <= seconds <= after - logged_at + 1e-3)

        assert is_oldest(logged[0])
        assert not is_oldest(logged[1])
        # The first is done: now the second is the oldest.
        await held.finish(first)
        assert is_oldest(logged[1])
        assert not is_oldest(logged[0])
        await held.finish(second)
        assert app.oldest_unfinished_seconds() == 0


async def test_failed_batch_is_not_committed_and_redelivered(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)

    @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
    async def fail_on_poison(stream: Any) -> None:
        async for batches in merged_batches(stream, 100):
            if any(record.value == b"12" for batch in batches for record in batch.records):
                raise RuntimeError("poison")

    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 10))
        assert await until_committed(kafka, topic, 10)
        await log.together(topic, values(10, 20))
        async with asyncio.timeout(WAIT):
            await app.wait(asyncio.Event().wait())
        assert str(app.crash_reason) == "poison"
    assert await committed(kafka, ROLE, topic) == {0: 10}
    again = app_of(kafka)
    held = ManualAgent(again, topic)
    async with running(again):
        assert await held.have(1)
    assert [record.value for record in held.events[0].value.records] == values(10, 20)


async def test_offsets_are_committed_from_the_head_without_gaps(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    held = ManualAgent(app, topic)
    async with writer(kafka) as log, running(app):
        for number in range(3):
            await log.together(topic, values(10 * number, 10 * number + 10))
            assert await held.have(number + 1)
        first, second, third = held.events
        await held.finish(second)
        await held.finish(third)
        await app.consumer.commit()
        assert await committed(kafka, ROLE, topic) == {}
        await held.finish(first)
        await app.consumer.commit()
        assert await until_committed(kafka, topic, 30)
        assert not any(app.consumer._gap.values())


async def test_batch_skipped_while_suspended_is_not_acknowledged(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    seen: list[list[bytes]] = []
    go_on = asyncio.Event()
    channels: list[Any] = []

    @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
    async def wait_in_the_body(stream: Any) -> None:
        channels.append(stream.channel)
        async for batches in merged_batches(stream, 1):
            seen.extend([record.value for record in batch.records] for batch in batches)
            await go_on.wait()

    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 10))
        assert await until(lambda: len(seen) == 1, WAIT)
        await log.together(topic, values(10, 20))
        assert await until(lambda: not channels[0].queue.empty(), WAIT)
        app.flow_control.suspend()
        go_on.set()
        assert await until(channels[0].queue.empty, WAIT)
        app.flow_control.resume()
        await log.together(topic, values(20, 30))
        assert await until(lambda: len(seen) == 2, WAIT)
        assert await until_committed(kafka, topic, 10)
        await app.consumer.commit()
    assert seen == [values(0, 10), values(20, 30)]
    assert await committed(kafka, ROLE, topic) == {0: 10}
    again = app_of(kafka)
    held = ManualAgent(again, topic)
    async with running(again):
        assert await until(lambda: sum(len(event.value.records) for event in held.events) == 20, WAIT)


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
        assert await until(lambda: len(bodies) == 1, WAIT)
        for waiting, partition in enumerate((0, 1, 0, 1, 0), start=1):
            await log.together(topic, values(0, 10), partition)
            assert await until(lambda waiting=waiting: channels[0].queue.qsize() == waiting, WAIT)  # type: ignore[misc]
        await app.consumer.commit()
        assert await committed(kafka, ROLE, topic) == {}
        steps.release()
        assert await until(lambda: len(bodies) == 2, WAIT)
        await app.consumer.commit()
        assert await committed(kafka, ROLE, topic) == {0: 5}
        steps.release()
        assert await until(lambda: len(bodies) == 3, WAIT)
        steps.release()
        assert await until_committed(kafka, topic, 35, 0)
        assert await until_committed(kafka, topic, 20, 1)
    assert bodies == [[(0, 5)], [(0, 10), (1, 10), (0, 10), (1, 10)], [(0, 10)]]


async def test_batch_in_progress_does_not_delay_shutdown(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    under_way = asyncio.Event()

    @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
    async def never_done(stream: Any) -> None:
        async for _ in merged_batches(stream, 100):
            under_way.set()
            await asyncio.Event().wait()

    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 10))
        async with asyncio.timeout(WAIT):
            await under_way.wait()
    assert await committed(kafka, ROLE, topic) == {}


async def test_table_is_restored_from_its_changelog(kafka: KafkaSettings, topic: str) -> None:
    def with_table() -> tuple[Any, Any]:
        app = app_of(kafka)
        table = app.Table("last", partitions=1)

        @app.agent(app.batches_of(topic))  # type: ignore[untyped-decorator]
        async def keep(stream: Any) -> None:
            async for batches in merged_batches(stream, 1000):
                for record in (record for batch in batches for record in batch.records):
                    table[str(record.offset % 100)] = record.value.decode()

        return app, table

    app, table = with_table()
    async with writer(kafka) as log, running(app):
        await log.together(topic, values(0, 350))
        assert await until_committed(kafka, topic, 350)
        before = dict(table.items())
    again, restored = with_table()
    async with running(again):
        assert await until(lambda: dict(restored.items()) == before, WAIT)
    assert before == {str(number % 100): str(number) for number in range(250, 350)}


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
        assert await until(lambda: len(bodies) == 1, WAIT)
        assert await until(channels[0].queue.full, WAIT)
        assert channels[0].queue.qsize() == app.conf.stream_buffer_maxsize
        go_on.set()
        assert await until(lambda: sum(bodies) == 100 * len(large), WAIT)
        for partition in range(4):
            assert await until_committed(kafka, topic, 25, partition)
    assert max(bodies) <= BATCH_BYTES + FETCH_PARTITION_BYTES
