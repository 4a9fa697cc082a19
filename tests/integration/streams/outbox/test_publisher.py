"""The outbox publisher beside transactions that commit in another order, and beside a Kafka that does not confirm."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import NotEnoughReplicasError

from runtime.database import Connection
from runtime.kafka import producer
from runtime.metrics import REGISTRY
from schemas.records.topics import DISABLED
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.outbox.publisher import OutboxPublisher
from streams.sink.disabled_ven_outbox_source import disabled_ven_source
from streams.store.database import database as open_database
from tests.support.kafka_records import read_all
from tests.support.servers import connection

ADD_ROW = "INSERT INTO outbox (kind, key) VALUES ('disabled_ven', $1)"


class Intercepted:
    """A producer that does something between sending a batch and returning its future."""

    def __init__(self, inner: AIOKafkaProducer, intercept: Callable[[Any], Awaitable[Any]]) -> None:
        self._inner = inner
        self._intercept = intercept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        return await self._intercept(await self._inner.send_batch(*args, **kwargs))


async def pending(rows: Connection) -> list[str]:
    return [row["key"] for row in await rows.fetch("SELECT key FROM outbox ORDER BY id")]


async def published(kafka: KafkaSettings) -> list[str]:
    return sorted(record.key.decode() for record in await read_all(kafka, kafka.topics(DISABLED)))


async def test_a_lower_id_that_commits_during_publication_is_published_next(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    async with (
        producer(kafka, "test") as log,
        open_database(database, "test") as opened,
        connection(database) as slow,
    ):
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(ADD_ROW, "lower-id")
        await rows.execute(ADD_ROW, "higher-id")

        async def commit(sent: Any) -> Any:
            await transaction.commit()
            return sent

        source = disabled_ven_source(kafka.topics(DISABLED))
        assert await OutboxPublisher(opened, Intercepted(log, commit), source).publish_pending() == 1
        assert (await published(kafka), await pending(rows)) == (["higher-id"], ["lower-id"])
        assert await OutboxPublisher(opened, log, source).publish_pending() == 1
        assert (await published(kafka), await pending(rows)) == (["higher-id", "lower-id"], [])


@pytest.mark.parametrize("outcome", [NotEnoughReplicasError(), None])
async def test_rows_stay_pending_until_kafka_confirms(
    outcome: Exception | None,
    kafka: KafkaSettings,
    database: DatabaseSettings,
    rows: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.outbox.publisher.KAFKA_TIMEOUT_SECONDS", 1.0)

    async def unconfirmed(_sent: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        if outcome is not None:
            future.set_exception(outcome)
        return future

    async with producer(kafka, "test") as log, open_database(database, "test") as opened:
        await rows.execute(
            "INSERT INTO outbox (kind, key, created_at) VALUES ('disabled_ven', 'a', now() - interval '1 h')"
        )
        source = disabled_ven_source(kafka.topics(DISABLED))
        assert await OutboxPublisher(opened, Intercepted(log, unconfirmed), source).publish_pending() == 0
        assert await pending(rows) == ["a"]
        kind = {"kind": "disabled_ven"}
        assert REGISTRY.get_sample_value("gateway_outbox_pending_rows", kind) == 1
        assert 3600 <= (REGISTRY.get_sample_value("gateway_outbox_oldest_seconds", kind) or 0) < 3700
        assert await OutboxPublisher(opened, log, source).publish_pending() == 1
        assert await pending(rows) == []
        await OutboxPublisher(opened, log, source).publish_pending()
        assert REGISTRY.get_sample_value("gateway_outbox_pending_rows", kind) == 0
        assert REGISTRY.get_sample_value("gateway_outbox_oldest_seconds", kind) == 0


async def test_one_worker_publishes_a_kind_at_a_time(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    async with (
        producer(kafka, "test") as log,
        open_database(database, "test") as opened,
        open_database(database, "other") as elsewhere,
    ):
        source = disabled_ven_source(kafka.topics(DISABLED))

        async def let_the_other_try(sent: Any) -> Any:
            assert await OutboxPublisher(elsewhere, log, source).publish_pending() == 0
            return sent

        await rows.execute(ADD_ROW, "a")
        assert await OutboxPublisher(opened, Intercepted(log, let_the_other_try), source).publish_pending() == 1
        assert await published(kafka) == ["a"]
