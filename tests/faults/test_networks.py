"""The network between processes and servers is cut, and connections go dead without a word."""

from collections.abc import Iterable
from functools import partial
from typing import cast

import pytest

from gateway.stack.polling import wait_until
from tests.faults.fault_run import WAIT, FaultRun, FaultRunner
from tests.faults.systems import BehindProxies, on
from tests.support.proxy import BOTH, Direction, Proxy

NAMES = {"mqtt": "MQTT", "postgres": "PostgreSQL", "kafka": "Kafka"}

pytestmark = [on("proxied"), pytest.mark.timeout(900)]


def proxy_of(run: FaultRun, server: str) -> Proxy:
    return cast(BehindProxies, run.system).proxies[server]


async def cut(server: str, run: FaultRun) -> None:
    """Reset and refuse everything while some messages come, or only for a moment."""
    proxy = proxy_of(run, server)
    await run.random_moment()
    await proxy.cut()
    if run.rng.random() < 0.75:
        await run.random_moment()
    await proxy.listen()


async def go_dead(servers: Iterable[str], directions: tuple[Direction, ...], run: FaultRun) -> None:
    """Let the connections that there are go dead; until something is stored again they must have been replaced."""
    await run.ready()
    await run.random_moment()
    for server in servers:
        proxy_of(run, server).mute(*directions)
    before = run.fleet.accepted
    # What is accepted from now on cannot be stored through the dead connections.
    await run.random_moment()
    assert await wait_until(lambda: run.storage.stored > before, WAIT), f"nobody noticed that {servers} are silent"


async def test_network_cuts_lose_nothing(fault_runner: FaultRunner) -> None:
    await fault_runner.of("network cut:", {name: partial(cut, server) for server, name in NAMES.items()}, times=5)


async def test_half_open_connections_are_replaced(fault_runner: FaultRunner) -> None:
    if fault_runner.full:
        faults = {name: partial(go_dead, (server,), BOTH) for server, name in NAMES.items()}
    else:
        # Together, for each waits for a timeout.
        faults = {", ".join(NAMES.values()): partial(go_dead, NAMES, BOTH)}
    await fault_runner.of("half-open connections:", faults, times=2)


async def test_connections_dead_in_one_direction_are_replaced(fault_runner: FaultRunner) -> None:
    if not fault_runner.full:
        pytest.skip("each waits for a timeout; in the full form only")
    directions: dict[str, Direction] = {"towards": "to_server", "from": "to_client"}
    for how, direction in directions.items():
        faults = {name: partial(go_dead, (server,), (direction,)) for server, name in NAMES.items()}
        await fault_runner.of(f"half-open {how}", faults, times=1)
