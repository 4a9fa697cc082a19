"""The kinds of system that faults come over."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from gateway.local.system import System
from gateway.stack.ports import reserve_ports
from tests.faults.disk import small_disk
from tests.support.proxy import Proxy

SERVERS = ("kafka", "postgres", "mqtt")
# As low as they go, so that silence is noticed while a test waits.
IMPATIENT = {
    "STREAMS_SESSION_TIMEOUT": "6",
    "KAFKA_TIMEOUT": "6",
    "DB_TIMEOUT": "5",
    "MQTT_KEEPALIVE": "5",
    "COMMAND_ANSWER_SECONDS": "20",
    "COMMAND_EVIDENCE_SECONDS": "5",
}


class BehindProxies(System):
    """A system whose processes reach each server through a proxy of the test."""

    def __init__(self, data: Path) -> None:
        data.mkdir()
        # The very ports that the stack will take: a proxy has to know them before it is there.
        upstream = reserve_ports(data / "ports.json", (*SERVERS, "kafka_controller"))
        ports = reserve_ports(data / "proxies.json", SERVERS)
        self.proxies = {name: Proxy(ports[name], upstream[name]) for name in SERVERS}
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['kafka']}",
            "DB_PORT": str(ports["postgres"]),
            "MQTT_PORT": str(ports["mqtt"]),
        }
        super().__init__(data, settings={**IMPATIENT, **settings}, kafka_advertised_port=ports["kafka"])


@asynccontextmanager
async def plain(folder: Path) -> AsyncIterator[System]:
    """As `gateway up` brings it up."""
    async with System(folder / "data") as running:
        yield running


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[System]:
    """Behind proxies, with short timeouts."""
    system = BehindProxies(folder / "data")
    for proxy in system.proxies.values():
        await proxy.listen()
    try:
        async with system:
            yield system
    finally:
        for proxy in system.proxies.values():
            await proxy.close()


@asynccontextmanager
async def artemis(folder: Path) -> AsyncIterator[System]:
    """With a durable MQTT broker, and the database on a small disk."""
    async with small_disk(folder / "data" / "postgres"), System(folder / "data", mqtt="artemis") as running:
        yield running


KINDS: dict[str, Callable[[Path], AbstractAsyncContextManager[System]]] = {
    "plain": plain,
    "proxied": proxied,
    "artemis": artemis,
}


def on(kind: str) -> pytest.MarkDecorator:
    """Run a test on a system of this kind."""
    return pytest.mark.parametrize("system", [kind], indirect=True)
