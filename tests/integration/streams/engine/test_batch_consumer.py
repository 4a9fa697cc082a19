"""What the batch consumer commits, on a real Kafka: an upgrade of Faust that breaks a rule fails here."""

import asyncio
import time
from typing import Any

from gateway.stack.polling import wait_until
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch_processing import merged_batches
from tests.support.apps import ManualAgent, running
from tests.support.batches import ROLE, WAIT, app_of, until_committed, values
from tests.support.kafka_records import writer
from tests.support.servers import committed


async def test_age_of_oldest_batch_shows_until_it_is_finished(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    agent = ManualAgent(app, topic)
    assert app.oldest_unfinished_seconds() == 0
    async with writer(kafka) as log, running(app):
        assert app.oldest_unfinished_seconds() == 0
        await log.together(topic, values(0, 2))
        assert await agent.have(1)
        await asyncio.sleep(0.05)  # so that the log gets the second one later
        await log.together(topic, values(2, 4))
        assert await agent.have(2)
        first, second = agent.events
        logged = [event.value.records[0].timestamp / 1000 for event in (first, second)]

        def is_oldest(logged_at: float) -> bool:
            before, seconds, after = time.time(), app.oldest_unfinished_seconds(), time.time()
            return bool(before - logged_at - 1e-3 <= seconds <= after - logged_at + 1e-3)

        assert is_oldest(logged[0])
        assert not is_oldest(logged[1])
        # The first is done: now the second is the oldest.
        await agent.finish(first)
        assert is_oldest(logged[1])
        assert not is_oldest(logged[0])
        await agent.finish(second)
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
    agent = ManualAgent(again, topic)
    async with running(again):
        assert await agent.have(1)
    assert [record.value for record in agent.events[0].value.records] == values(10, 20)


async def test_offsets_are_committed_from_the_head_without_gaps(kafka: KafkaSettings, topic: str) -> None:
    app = app_of(kafka)
    agent = ManualAgent(app, topic)
    async with writer(kafka) as log, running(app):
        for number in range(3):
            await log.together(topic, values(10 * number, 10 * number + 10))
            assert await agent.have(number + 1)
        first, second, third = agent.events
        await agent.finish(second)
        await agent.finish(third)
        await app.consumer.commit()
        assert await committed(kafka, ROLE, topic) == {}
        await agent.finish(first)
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
        assert await wait_until(lambda: len(seen) == 1, WAIT)
        await log.together(topic, values(10, 20))
        assert await wait_until(lambda: not channels[0].queue.empty(), WAIT)
        app.flow_control.suspend()
        go_on.set()
        assert await wait_until(channels[0].queue.empty, WAIT)
        app.flow_control.resume()
        await log.together(topic, values(20, 30))
        assert await wait_until(lambda: len(seen) == 2, WAIT)
        assert await until_committed(kafka, topic, 10)
        await app.consumer.commit()
    assert seen == [values(0, 10), values(20, 30)]
    assert await committed(kafka, ROLE, topic) == {0: 10}
    again = app_of(kafka)
    agent = ManualAgent(again, topic)
    async with running(again):
        assert await wait_until(lambda: sum(len(event.value.records) for event in agent.events) == 20, WAIT)


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
        assert await wait_until(lambda: dict(restored.items()) == before, WAIT)
    assert before == {str(number % 100): str(number) for number in range(250, 350)}
