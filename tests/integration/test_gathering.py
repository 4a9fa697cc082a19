"""Batches that are worked on while others are: each is acknowledged for itself, and the log goes on from the first."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import pytest_asyncio

from gateway.stack.polling import until
from runtime.database import Connection
from schemas.settings import DatabaseSettings, KafkaSettings, StreamsSettings
from schemas.topics import TELEMETRY
from streams.app import make_app
from streams.batches import Batch
from streams.gathering import overlapped
from streams.store import database as databases
from tests.support.apps import running
from tests.support.log import writer
from tests.support.servers import Topics, committed

ROLE = "gathering"
WAIT = 30


@pytest_asyncio.fixture
async def kafka(topics: Topics) -> KafkaSettings:
    return await topics.fresh(partitions=1)


class Works:
    """An agent, two of whose works are under way at once; each ends when, and as, the test says."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.app = make_app(ROLE, kafka, StreamsSettings())
        self.topic = kafka.topics(TELEMETRY)
        self.begun: list[list[bytes]] = []
        self.ends: list[asyncio.Future[None]] = []
        self.cancelled: list[int] = []
        self.stream: Any = None

        @self.app.agent(self.app.batches_of(self.topic))  # type: ignore[untyped-decorator]
        async def work(stream: Any) -> None:
            self.stream = stream
            await overlapped(stream, 1, 2, self._work)

    @property
    def waiting(self) -> int:
        """How many batches have been fetched, and nobody works on them."""
        return int(self.stream.channel.queue.qsize())

    async def _work(self, batches: Sequence[Batch]) -> None:
        self.begun.append([record.value for batch in batches for record in batch.records])
        self.ends.append(asyncio.get_running_loop().create_future())
        number = len(self.ends)
        try:
            await self.ends[-1]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    async def have(self, number: int) -> bool:
        return await until(lambda: len(self.begun) == number, WAIT)


async def test_the_next_begins_while_the_last_is_under_way_and_none_is_committed_before_those_ahead(
    kafka: KafkaSettings,
) -> None:
    works = Works(kafka)
    async with writer(kafka) as log, running(works.app):
        for number in range(2):
            await log.together(works.topic, [b"%d" % number])
            assert await works.have(number + 1)
        await log.together(works.topic, [b"2"])
        assert await until(lambda: works.waiting == 1, WAIT)
        assert works.begun == [[b"0"], [b"1"]], "no more than two at once"
        works.ends[1].set_result(None)
        assert await works.have(3)
        await works.app.consumer.commit()
        assert await committed(kafka, ROLE, works.topic) == {}
        works.ends[0].set_result(None)

        async def two_are_committed() -> bool:
            await works.app.consumer.commit()
            return await committed(kafka, ROLE, works.topic) == {0: 2}

        assert await until(two_are_committed, WAIT)
    assert works.begun == [[b"0"], [b"1"], [b"2"]]
    assert works.cancelled == [3]


async def test_what_one_raises_ends_the_other_and_neither_is_committed(kafka: KafkaSettings) -> None:
    works = Works(kafka)
    async with writer(kafka) as log, running(works.app):
        for number in range(2):
            await log.together(works.topic, [b"%d" % number])
            assert await works.have(number + 1)
        works.ends[1].set_exception(RuntimeError("poison"))
        async with asyncio.timeout(WAIT):
            await works.app.wait(asyncio.Event().wait())
        assert str(works.app.crash_reason) == "poison"
    assert works.cancelled == [1]
    assert await committed(kafka, ROLE, works.topic) == {}


async def test_as_many_transactions_at_a_time_as_there_are_connections(
    database: DatabaseSettings, rows: Connection
) -> None:
    inside: list[int] = []
    go_on = asyncio.Event()

    async def work(connection: Connection) -> int:
        inside.append(await connection.fetchval("SELECT pg_backend_pid()"))
        await go_on.wait()
        return inside[-1]

    async with databases.database(database, "test-gathering", 2) as store:
        running_now = [asyncio.create_task(store.run(work)) for _ in range(3)]
        assert await until(lambda: len(inside) == 2, WAIT)
        # The third waits for one of them, whoever is cut off meanwhile.
        assert await rows.fetchval("SELECT pg_terminate_backend($1)", inside[0])
        go_on.set()
        await asyncio.gather(*running_now)
        assert store.connected
    assert len(set(inside[:2])) == 2
    assert len(inside) == 4, "that of the connection that was cut, once more"


async def test_a_connection_whose_work_was_given_up_is_not_used_again(database: DatabaseSettings) -> None:
    pids: list[int] = []

    async def pid(connection: Connection) -> None:
        pids.append(await connection.fetchval("SELECT pg_backend_pid()"))

    async def wait(connection: Connection) -> None:
        await pid(connection)
        await asyncio.Event().wait()

    async with databases.database(database, "test-gathering", 2) as store:
        await store.run(pid)
        await store.run(pid)
        given_up = asyncio.create_task(store.run(wait))
        assert await until(lambda: len(pids) == 3, WAIT)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await store.run(pid)
    assert pids[0] == pids[1] == pids[2] != pids[3]


async def test_a_work_that_is_cancelled_by_nobody_of_ours_ends_them_all(kafka: KafkaSettings) -> None:
    works = Works(kafka)
    async with writer(kafka) as log, running(works.app):
        for number in range(2):
            await log.together(works.topic, [b"%d" % number])
            assert await works.have(number + 1)
        # As a future does that somebody else has cancelled: a task group takes that for an end like any other.
        works.ends[0].cancel()
        async with asyncio.timeout(WAIT):
            await works.app.wait(asyncio.Event().wait())
        assert "cancelled" in str(works.app.crash_reason)
    assert works.cancelled == [1, 2]
    assert await committed(kafka, ROLE, works.topic) == {}


async def test_work_that_found_the_server_tells_so_whoever_else_hung_up(
    database: DatabaseSettings, rows: Connection
) -> None:
    pids: list[int] = []
    both = asyncio.Barrier(2)

    async def pid(connection: Connection) -> int:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))

    async def together(connection: Connection) -> None:
        pids.append(await pid(connection))
        await both.wait()

    async with databases.database(database, "test-gathering", 2) as store:
        await asyncio.gather(store.run(together), store.run(together))
        last = await store.run(pid)
        (idle,) = set(pids) - {last}
        assert await rows.fetchval("SELECT pg_terminate_backend($1)", idle)
        assert await until(lambda: not store.connected, WAIT)
        assert await store.run(pid) == last
        assert store.connected


async def test_work_that_is_given_up_while_the_server_is_away_is_not_tried_again(
    database: DatabaseSettings, rows: Connection
) -> None:
    begun: list[Connection] = []

    async def wait(connection: Connection) -> None:
        begun.append(connection)
        await asyncio.Event().wait()

    async with databases.database(database, "test-gathering") as store:
        given_up = asyncio.create_task(store.run(wait))
        assert await until(lambda: len(begun) == 1, WAIT)
        assert await rows.fetchval("SELECT pg_terminate_backend($1)", begun[0].get_server_pid())
        assert await until(begun[0].is_closed, WAIT)
        given_up.cancel()
        done, _ = await asyncio.wait({given_up}, timeout=5)
        assert done
        assert given_up.cancelled()
    assert len(begun) == 1
