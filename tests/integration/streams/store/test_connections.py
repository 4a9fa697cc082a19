"""The connections of a Database: their number limits transactions, and failed ones are not reused."""

import asyncio

import pytest

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from streams.store import database as databases

WAIT = 30


async def test_concurrent_transactions_are_limited_by_connections(database: DatabaseSettings, rows: Connection) -> None:
    inside: list[int] = []
    go_on = asyncio.Event()

    async def work(connection: Connection) -> int:
        inside.append(await connection.fetchval("SELECT pg_backend_pid()"))
        await go_on.wait()
        return inside[-1]

    async with databases.database(database, "test-connections", 2) as store:
        running_now = [asyncio.create_task(store.run(work)) for _ in range(3)]
        assert await wait_until(lambda: len(inside) == 2, WAIT)
        # The third waits for one of them, whoever is cut off meanwhile.
        assert await rows.fetchval("SELECT pg_terminate_backend($1)", inside[0])
        go_on.set()
        await asyncio.gather(*running_now)
        assert store.connected
    assert len(set(inside[:2])) == 2
    assert len(inside) == 4, "that of the connection that was cut, once more"


async def test_connection_of_cancelled_work_is_not_reused(database: DatabaseSettings) -> None:
    pids: list[int] = []

    async def pid(connection: Connection) -> None:
        pids.append(await connection.fetchval("SELECT pg_backend_pid()"))

    async def wait(connection: Connection) -> None:
        await pid(connection)
        await asyncio.Event().wait()

    async with databases.database(database, "test-connections", 2) as store:
        await store.run(pid)
        await store.run(pid)
        given_up = asyncio.create_task(store.run(wait))
        assert await wait_until(lambda: len(pids) == 3, WAIT)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await store.run(pid)
    assert pids[0] == pids[1] == pids[2] != pids[3]


async def test_successful_work_means_connected_despite_closed_idle(
    database: DatabaseSettings, rows: Connection
) -> None:
    pids: list[int] = []
    both = asyncio.Barrier(2)

    async def pid(connection: Connection) -> int:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))

    async def together(connection: Connection) -> None:
        pids.append(await pid(connection))
        await both.wait()

    async with databases.database(database, "test-connections", 2) as store:
        await asyncio.gather(store.run(together), store.run(together))
        last = await store.run(pid)
        (idle,) = set(pids) - {last}
        assert await rows.fetchval("SELECT pg_terminate_backend($1)", idle)
        assert await wait_until(lambda: not store.connected, WAIT)
        assert await store.run(pid) == last
        assert store.connected


async def test_cancelled_work_is_not_retried_during_an_outage(database: DatabaseSettings, rows: Connection) -> None:
    begun: list[Connection] = []

    async def wait(connection: Connection) -> None:
        begun.append(connection)
        await asyncio.Event().wait()

    async with databases.database(database, "test-connections") as store:
        given_up = asyncio.create_task(store.run(wait))
        assert await wait_until(lambda: len(begun) == 1, WAIT)
        assert await rows.fetchval("SELECT pg_terminate_backend($1)", begun[0].get_server_pid())
        assert await wait_until(begun[0].is_closed, WAIT)
        given_up.cancel()
        done, _ = await asyncio.wait({given_up}, timeout=5)
        assert done
        assert given_up.cancelled()
    assert len(begun) == 1
