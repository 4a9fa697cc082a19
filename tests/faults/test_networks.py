"""The network between processes and servers is cut, and connections go dead without a word."""

from collections.abc import Iterable
from functools import partial
from typing import cast

import pytest

from gateway.stack.polling import until
from tests.faults.ordeal import WAIT, Ordeal, Trials
from tests.faults.systems import BehindProxies, on
from tests.support.proxy import BOTH, Direction, Proxy

NAMES = {"mqtt": "MQTT", "postgres": "PostgreSQL", "kafka": "Kafka"}

pytestmark = [on("proxied"), pytest.mark.timeout(900)]


def proxy_of(ordeal: Ordeal, server: str) -> Proxy:
    return cast(BehindProxies, ordeal.system).proxies[server]


async def cut(server: str, ordeal: Ordeal) -> None:
    """Reset and refuse everything while some messages come, or only for a moment."""
    proxy = proxy_of(ordeal, server)
    await ordeal.moment()
    await proxy.cut()
    if ordeal.choose.random() < 0.75:
        await ordeal.moment()
    await proxy.listen()


async def go_dead(servers: Iterable[str], directions: tuple[Direction, ...], ordeal: Ordeal) -> None:
    """Let the connections that there are go dead; until something is stored again they must have been replaced."""
    await ordeal.ready()
    await ordeal.moment()
    for server in servers:
        proxy_of(ordeal, server).mute(*directions)
    before = ordeal.fleet.accepted
    # What is accepted from now on cannot be stored through the dead connections.
    await ordeal.moment()
    assert await until(lambda: ordeal.watch.stored > before, WAIT), f"nobody noticed that {servers} are silent"


async def test_the_network_is_cut(trials: Trials) -> None:
    await trials.of("network cut:", {name: partial(cut, server) for server, name in NAMES.items()}, times=5)


async def test_connections_go_dead(trials: Trials) -> None:
    if trials.full:
        faults = {name: partial(go_dead, (server,), BOTH) for server, name in NAMES.items()}
    else:
        # Together, for each waits for a timeout.
        faults = {", ".join(NAMES.values()): partial(go_dead, NAMES, BOTH)}
    await trials.of("half-open connections:", faults, times=2)


async def test_connections_go_dead_in_one_direction(trials: Trials) -> None:
    if not trials.full:
        pytest.skip("each waits for a timeout; in the full form only")
    directions: dict[str, Direction] = {"towards": "to_server", "from": "to_client"}
    for how, direction in directions.items():
        faults = {name: partial(go_dead, (server,), (direction,)) for server, name in NAMES.items()}
        await trials.of(f"half-open {how}", faults, times=1)
