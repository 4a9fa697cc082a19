"""One stack of real servers for the whole session; each test gets its own database and topic prefix."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import asyncpg
import psutil
import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from pydantic import SecretStr

from gateway.stack import LocalStack
from gateway.stack.child_guard import Guard
from gateway.stack.ports import reserve_ports
from gateway.stack.postgres import Postgres
from migrations.run import migrate
from runtime.database import Connection, connect_options
from runtime.kafka import ensure_topics
from schemas.settings.blocks import DatabaseSettings, KafkaSettings

_log = logging.getLogger(__name__)
_TEMPLATE = "migrated"


class Databases:
    """Creates databases with all tables, as copies of one that was migrated."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._numbers = count(1)

    def settings(self, name: str) -> DatabaseSettings:
        """Return how to reach a database of the shared server."""
        stack = self._stack
        return DatabaseSettings(
            db_host=stack.postgres_host,
            db_port=stack.postgres_port,
            db_user=stack.postgres_user,
            db_password=SecretStr(stack.postgres_password),
            db_name=name,
        )

    async def prepare(self) -> None:
        """Create the database that the others are copies of."""
        await migrate(await self.empty(_TEMPLATE))

    async def empty(self, name: str | None = None) -> DatabaseSettings:
        """Make a database without tables."""
        return await self._create(name or f"test_{next(self._numbers)}", "template1")

    async def migrated(self) -> DatabaseSettings:
        """Make a database with all tables and no rows."""
        return await self._create(f"test_{next(self._numbers)}", _TEMPLATE)

    async def _create(self, name: str, template: str) -> DatabaseSettings:
        connection = await connect(self.settings(self._stack.postgres_database))
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await connection.close()
        return self.settings(name)


async def connect(settings: DatabaseSettings) -> Connection:
    """Open a connection that belongs to the caller."""
    return await asyncpg.connect(**connect_options(settings, "test"))


@asynccontextmanager
async def connection(settings: DatabaseSettings) -> AsyncIterator[Connection]:
    """Open one more connection."""
    opened = await connect(settings)
    try:
        yield opened
    finally:
        await opened.close()


class Topics:
    """Creates the topics of the registry under a new prefix."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._numbers = count(1)

    def settings(self, *, partitions: int = 2) -> KafkaSettings:
        """Return an unused prefix without topics."""
        return KafkaSettings(
            kafka_bootstrap_servers=self._bootstrap,
            kafka_topic_prefix=f"test{next(self._numbers)}-",
            kafka_partitions=partitions,
        )

    async def fresh(self, *, partitions: int = 2) -> KafkaSettings:
        """Return a new prefix with all topics of the registry."""
        settings = self.settings(partitions=partitions)
        await ensure_topics(settings)
        return settings


async def committed(kafka: KafkaSettings, role: str, topic: str) -> dict[int, int]:
    """Return what a role's consumer group has committed of a topic (by its full name): the next offset by partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.kafka_bootstrap_servers)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"{kafka.kafka_topic_prefix}gateway-{role}")
    except GroupCoordinatorNotAvailableError:
        return {}  # the server has not had any group yet
    finally:
        await admin.close()
    return {tp.partition: entry.offset for tp, entry in offsets.items() if tp.topic == topic and entry.offset >= 0}


@pytest_asyncio.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """The servers that all tests share; no test stops or kills them."""
    async with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        yield running
        # Nobody needs the data: an orderly stop of Kafka takes 10 s, because it flushes thousands of partitions.
        await running.kafka.kill()


@pytest_asyncio.fixture(scope="session")
async def databases(stack: LocalStack) -> Databases:
    made = Databases(stack)
    await made.prepare()
    return made


@pytest_asyncio.fixture
async def database(databases: Databases) -> DatabaseSettings:
    """A database with all tables that no other test sees."""
    return await databases.migrated()


@pytest_asyncio.fixture
async def rows(database: DatabaseSettings) -> AsyncIterator[Connection]:
    """A connection of the test to `database`."""
    connection = await connect(database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="session")
async def topics(stack: LocalStack) -> Topics:
    return Topics(stack.kafka_bootstrap)


@pytest_asyncio.fixture
async def kafka(topics: Topics) -> KafkaSettings:
    """A prefix with all topics, two partitions each, that no other test sees."""
    return await topics.fresh()


@pytest_asyncio.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A PostgreSQL server that only this test uses, so that it may stop or kill it; not started yet."""
    guard = Guard()
    port = reserve_ports(tmp_path / "ports.json", ["postgres"])["postgres"]
    server = Postgres(tmp_path / "postgres", port=port, log=tmp_path / "postgres.log", guard=guard, progress=_log.info)
    yield server
    await server.stop()
    await guard.close()


def settings_of(server: Postgres) -> DatabaseSettings:
    """Return how to reach the database of a server that was started."""
    return DatabaseSettings(
        db_host=server.host,
        db_port=server.port,
        db_user=server.user,
        db_password=SecretStr(server.password),
        db_name=server.database,
    )


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Suspend all processes of a server: its port is open, and nothing answers."""
    main = psutil.Process(server.pid)
    processes = [main, *main.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
