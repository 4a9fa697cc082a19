"""One whole system for all end-to-end tests, with every kind of topic that the recordings use."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import pytest_asyncio

from gateway.local.system import System
from runtime.database import Connection, connect_options
from tests.support.collector import Collector
from tests.support.collector import collector as collecting

# Also filters that overlap: of one message, and of topics that most of these VENs never use.
SETTINGS = {
    # So that silence is noticed while a test waits.
    "COMMAND_ANSWER_SECONDS": "8",
    "MQTT_TOPICS": "ven/telemetry/+,oadr/meter/+,oadr/#",
    "MQTT_TOPIC_SHADOW": "$aws/things/+/shadow/#",
    # Everything is traced, so that each test may look for what it did.
    "TRACE_MESSAGES": "1",
    "TRACE_COMMANDS": "1",
    # The default of OpenTelemetry is five seconds.
    "OTEL_BSP_SCHEDULE_DELAY": "200",
}


@pytest.fixture(scope="session", autouse=True)
def _each_system_has_a_port_of_its_own() -> Iterator[None]:
    """Several of them run at the same time; one that was asked for is for one alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("API_PORT", raising=False)
        yield


@pytest_asyncio.fixture(scope="session")
async def collector() -> AsyncIterator[Collector]:
    """Where the system sends its traces."""
    async with collecting() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[System]:
    settings = {**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    async with System(tmp_path_factory.mktemp("system") / "data", settings=settings) as running:
        yield running


@pytest_asyncio.fixture
async def stored(system: System) -> AsyncIterator[Connection]:
    """A look into the database of the system."""
    connection = await asyncpg.connect(**connect_options(system.database, "test"))
    yield connection
    await connection.close()
