"""The MQTT brokers that the bridge is tried with."""

import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.stack import LocalStack, Server
from gateway.stack.artemis import Artemis
from gateway.stack.child_guard import Guard
from gateway.stack.ports import reserve_ports

logger = logging.getLogger(__name__)


@pytest_asyncio.fixture(scope="module", params=["stack", "artemis"])
async def broker(
    request: pytest.FixtureRequest, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """The stack's own, usually mosquitto, which keeps one queue a session; and Artemis: one a subscription."""
    if request.param == "stack":
        yield stack.mqtt
        return
    folder = tmp_path_factory.mktemp("artemis")
    guard = Guard()
    port = reserve_ports(folder / "ports.json", ["mqtt"])["mqtt"]
    (folder / "mqtt").mkdir()
    server = Artemis(folder / "mqtt", port=port, log=folder / "log", guard=guard, progress=logger.info)
    await server.start()
    yield server
    await server.stop()
    await guard.close()
