"""The publisher without PUBACKs, across reconnects, and at a broker that refuses it."""

import asyncio
from pathlib import Path

import pytest

from gateway.fleet import BrokerRefusedError, Fleet
from gateway.fleet.publisher import Publisher
from gateway.stack.ports import reserve_ports
from tests.unit.gateway.fleet.fake_broker import FakeBroker, fast_options


async def test_full_window_blocks_the_sender(broker: FakeBroker) -> None:
    broker.acknowledging = False
    accepted: list[int] = []
    async with Publisher("127.0.0.1", broker.port, "full", window=3) as publisher:
        for n in range(3):
            await publisher.wait_for_capacity()
            publisher.send("t", b"{}", lambda n=n: accepted.append(n))  # type: ignore[misc]
        await broker.received(3)
        waiting = asyncio.create_task(publisher.wait_for_capacity())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.05)
        broker.acknowledge(1)
        await waiting
        assert accepted == [0]
        assert await publisher.drain(0.05) == 2


async def test_messages_without_puback_are_republished(broker: FakeBroker) -> None:
    broker.acknowledging = False
    fleet = Fleet(fast_options(broker, connections=1, loads_enabled=False))
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=asyncio.Event(), messages=10))
        await broker.received(10)
        broker.acknowledging = True
        broker.cut()
    assert (fleet.published, fleet.accepted) == (10, 10)
    assert (broker.connections, broker.repeated) == (2, 10)
    assert broker.published[:10] == broker.published[10:]


async def test_broker_may_start_later(tmp_path: Path) -> None:
    broker = FakeBroker()
    # None that a client might get for its own end: it would reach itself.
    broker.port = reserve_ports(tmp_path / "ports.json", ["mqtt"])["mqtt"]
    fleet = Fleet(fast_options(broker, connections=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fleet.run(stop=asyncio.Event(), messages=5))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(running), 0.3)
        async with broker.serving():
            await running
    assert fleet.accepted == 5


async def test_fleet_without_broker_stops(tmp_path: Path) -> None:
    broker, stop = FakeBroker(), asyncio.Event()
    broker.port = reserve_ports(tmp_path / "ports.json", ["mqtt"])["mqtt"]
    fleet = Fleet(fast_options(broker))
    stop.set()
    await fleet.run(stop=stop)
    assert fleet.published == 0


async def test_refusal_is_raised_without_retry() -> None:
    async with FakeBroker(connack=5).serving() as broker:
        with pytest.raises(BrokerRefusedError, match="Not authorized"):
            await Fleet(fast_options(broker, connections=3)).run(stop=asyncio.Event(), messages=1)
        assert broker.connections <= 3
