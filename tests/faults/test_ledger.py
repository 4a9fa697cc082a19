"""Under steady load everything is killed or restarted at random moments, and the books must balance all the same."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from gateway.fleet import Fleet, FleetOptions
from gateway.ledger import settled
from gateway.stack.polling import until
from gateway.system import System
from runtime.database import connect_options

RATE = 600  # messages/s, all kinds
VENS = 300
TIMES = 3  # that each fault comes
SEED = int(os.environ.get("FAULT_SEED", "20261124"))
WORKERS = ("bridge", "streams-validate", "streams-sink", "streams-live", "api")
# mosquitto confirms a message before it has saved it: what kill -9 takes from it nobody behind it can give back.
SERVERS = {"kafka": ("restart", "kill"), "postgres": ("restart", "kill"), "mqtt": ("restart",)}

Fault = tuple[str, Callable[[], Awaitable[None]]]


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with System(tmp_path / "data") as running:
        yield running


def all_faults(system: System, choose: random.Random) -> list[Fault]:
    faults: list[Fault] = []
    for name in WORKERS:
        faults += [(f"kill -9 {name}", system.workers[name].process.kill)] * TIMES
    for name, ways in SERVERS.items():
        for _ in range(TIMES):
            way = choose.choice(ways)
            faults.append((f"{way} {name}", lambda name=name, way=way: disturb_server(system, name, way)))
    choose.shuffle(faults)
    return faults


async def disturb_server(system: System, name: str, way: str) -> None:
    server = getattr(system.stack, name)
    await (server.kill() if way == "kill" else server.stop())
    await server.start()


@pytest.mark.timeout(420)
async def test_nothing_is_lost_or_stored_twice_whatever_is_killed(system: System) -> None:
    choose = random.Random(SEED)
    fleet = Fleet(
        FleetOptions(host=system.stack.mqtt_host, port=system.stack.mqtt_port, vens=VENS, rate=RATE, seed=SEED)
    )
    stop = asyncio.Event()
    publishing = asyncio.create_task(fleet.run(stop=stop))
    assert await until(lambda: fleet.accepted > RATE, timeout=30)
    for name, fault in all_faults(system, choose):
        before = fleet.accepted
        await fault()
        # At a random moment after work has gone on, not when all has come to rest.
        more = choose.randrange(RATE // 4, RATE * 2)
        assert await until(lambda: fleet.accepted >= before + more, timeout=60), f"nothing goes on after {name}"  # noqa: B023
    stop.set()
    await publishing

    balance = await settled(system.database, fleet.ledger)

    assert balance.accepted > RATE * len(WORKERS)
    assert balance.balanced, balance
    for worker in system.workers.values():
        assert await until(worker.ready, timeout=60), f"{worker.name} needs a hand"
        assert worker.restarts >= TIMES
    await totals_agree(system)


async def totals_agree(system: System) -> None:
    """The live totals, rebuilt several times by now, are those of the rows."""
    connection = await asyncpg.connect(**connect_options(system.database, "test"))
    try:
        used = await connection.fetchval("SELECT sum(used_power_kw) FROM ven_status")
    finally:
        await connection.close()

    async def agree() -> bool:
        async with httpx.AsyncClient() as client:
            stats = (await client.get(f"{system.api}/api/stats/network")).json()
        return bool(stats.get("onlineVens") == VENS and abs(stats["householdUsageKw"] - used) < 1e-6)

    assert await until(agree, timeout=30), "the live totals are not those of the rows"
