"""One whole system for all end-to-end tests, with every kind of topic that the recordings use."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from gateway.system import System
from runtime.database import Connection, connect_options

# Also filters that overlap: of one message, and of topics that most of these VENs never use.
SETTINGS = {
    # So that silence is noticed while a test waits.
    "COMMAND_ANSWER_SECONDS": "8",
    "MQTT_TOPICS": "ven/telemetry/+,oadr/meter/+,oadr/#",
    "MQTT_TOPIC_SHADOW": "$aws/things/+/shadow/#",
}


@pytest_asyncio.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with System(tmp_path_factory.mktemp("system") / "data", settings=SETTINGS) as running:
        yield running


@pytest_asyncio.fixture
async def stored(system: System) -> AsyncIterator[Connection]:
    """A look into the database of the system."""
    connection = await asyncpg.connect(**connect_options(system.database, "test"))
    yield connection
    await connection.close()
