"""Batches in progress at the same time: each is acknowledged alone, and offsets are committed in order."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest_asyncio

from gateway.stack.polling import wait_until
from schemas.records.topics import TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.app import make_app
from streams.engine.batch import Batch
from streams.engine.batch_processing import process_concurrently
from tests.support.apps import running
from tests.support.kafka_records import Writer, writer
from tests.support.servers import Topics, committed

ROLE = "gathering"
WAIT = 30


@pytest_asyncio.fixture
async def kafka(topics: Topics) -> KafkaSettings:
    return await topics.fresh(partitions=1)


class ConcurrentAgent:
    """An agent, two of whose works are under way at once; each ends when, and as, the test says."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.app = make_app(ROLE, kafka, StreamsSettings())
        self.topic = kafka.topics(TELEMETRY)
        self.started: list[list[bytes]] = []
        self.ends: list[asyncio.Future[None]] = []
        self.cancelled: list[int] = []
        self.stream: Any = None

        @self.app.agent(self.app.batches_of(self.topic))  # type: ignore[untyped-decorator]
        async def work(stream: Any) -> None:
            self.stream = stream
            await process_concurrently(stream, 1, 2, self._work)

    @property
    def waiting(self) -> int:
        """How many batches have been fetched, and nobody works on them."""
        return int(self.stream.channel.queue.qsize())

    async def _work(self, batches: Sequence[Batch]) -> None:
        self.started.append([record.value for batch in batches for record in batch.records])
        self.ends.append(asyncio.get_running_loop().create_future())
        number = len(self.ends)
        try:
            await self.ends[-1]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    async def start_two(self, log: Writer) -> None:
        """Have two works under way, of a record each."""
        for number in range(2):
            await log.together(self.topic, [b"%d" % number])
            assert await self.have(number + 1)

    async def have(self, number: int) -> bool:
        return await wait_until(lambda: len(self.started) == number, WAIT)


async def test_concurrent_batches_commit_in_order(
    kafka: KafkaSettings,
) -> None:
    agent = ConcurrentAgent(kafka)
    async with writer(kafka) as log, running(agent.app):
        await agent.start_two(log)
        await log.together(agent.topic, [b"2"])
        assert await wait_until(lambda: agent.waiting == 1, WAIT)
        assert agent.started == [[b"0"], [b"1"]], "no more than two at once"
        agent.ends[1].set_result(None)
        assert await agent.have(3)
        await agent.app.consumer.commit()
        assert await committed(kafka, ROLE, agent.topic) == {}
        agent.ends[0].set_result(None)

        async def two_are_committed() -> bool:
            await agent.app.consumer.commit()
            return await committed(kafka, ROLE, agent.topic) == {0: 2}

        assert await wait_until(two_are_committed, WAIT)
    assert agent.started == [[b"0"], [b"1"], [b"2"]]
    assert agent.cancelled == [3]


async def test_error_cancels_the_other_batch_and_commits_none(kafka: KafkaSettings) -> None:
    agent = ConcurrentAgent(kafka)
    async with writer(kafka) as log, running(agent.app):
        await agent.start_two(log)
        agent.ends[1].set_exception(RuntimeError("poison"))
        async with asyncio.timeout(WAIT):
            await agent.app.wait(asyncio.Event().wait())
        assert str(agent.app.crash_reason) == "poison"
    assert agent.cancelled == [1]
    assert await committed(kafka, ROLE, agent.topic) == {}


async def test_foreign_cancellation_ends_all_batches(kafka: KafkaSettings) -> None:
    agent = ConcurrentAgent(kafka)
    async with writer(kafka) as log, running(agent.app):
        await agent.start_two(log)
        # As a future does that somebody else has cancelled: a task group takes that for an end like any other.
        agent.ends[0].cancel()
        async with asyncio.timeout(WAIT):
            await agent.app.wait(asyncio.Event().wait())
        assert "cancelled" in str(agent.app.crash_reason)
    assert agent.cancelled == [1, 2]
    assert await committed(kafka, ROLE, agent.topic) == {}
