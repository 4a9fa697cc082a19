"""Under steady load everything is killed or restarted at random moments, and the books must balance all the same."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
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


# The worker has work in hand that it cannot finish, and dies with it: were it acknowledged already, it would be lost.
WITHOUT = {"bridge": "kafka", "streams-sink": "postgres"}


def all_faults(system: System, fleet: Fleet, choose: random.Random) -> list[Fault]:
    faults: list[Fault] = []
    for name in WORKERS:
        faults += [(f"kill -9 {name}", system.workers[name].process.kill)] * TIMES
    for server, ways in SERVERS.items():
        for way in choose.choices(ways, k=TIMES):
            faults.append((f"{way} {server}", partial(disturb, system, server, way)))
    for name, server in WITHOUT.items():
        faults += [(f"kill -9 {name} without {server}", partial(kill_without, system, fleet, name, server))] * TIMES
    choose.shuffle(faults)
    return faults


async def disturb(system: System, server: str, way: str) -> None:
    chosen = getattr(system.stack, server)
    await (chosen.kill() if way == "kill" else chosen.stop())
    await chosen.start()


async def kill_without(system: System, fleet: Fleet, name: str, server: str) -> None:
    assert await until(system.workers[name].ready, timeout=60), f"{name} needs a hand"
    missing = getattr(system.stack, server)
    await missing.stop()
    # Longer than the interval between two commits.
    before = fleet.accepted
    assert await until(lambda: fleet.accepted >= before + 2 * RATE, timeout=60)
    await system.workers[name].process.kill()
    await missing.start()


@pytest.mark.timeout(420)
async def test_nothing_is_lost_or_stored_twice_whatever_is_killed(system: System) -> None:
    choose = random.Random(SEED)
    fleet = Fleet(
        FleetOptions(host=system.stack.mqtt_host, port=system.stack.mqtt_port, vens=VENS, rate=RATE, seed=SEED)
    )
    stop = asyncio.Event()
    publishing = asyncio.create_task(fleet.run(stop=stop))
    assert await until(lambda: fleet.accepted > RATE, timeout=30)
    for name, fault in all_faults(system, fleet, choose):
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
