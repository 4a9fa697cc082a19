"""Publishes the rows of the outbox to Kafka: at least once, in order, one worker at a time for each kind.

A row is deleted after Kafka has confirmed its record. After a crash in between, the record is published again;
consumers recognise it by its natural key.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.batch_writer import BatchWriter
from runtime.database import Connection
from runtime.metrics import OUTBOX_OLDEST_SECONDS, OUTBOX_PENDING_ROWS
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference, delete_published, fetch_pending, measure_backlog
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

# After this the transaction is rolled back and its rows stay pending.
KAFKA_TIMEOUT_SECONDS = 10.0
_MEASURE_EVERY_SECONDS = 5.0


class PublishError(Exception):
    """Kafka did not confirm all records in time; it may have some of them."""


def add_outbox(app: Any, producer: AIOKafkaProducer, database: Database, sources: Sequence[OutboxSource]) -> None:
    """Publish each kind in a task of its own, so that none waits for another; needs a connection for each."""
    for source in sources:
        _add_publisher(app, OutboxPublisher(database, producer, source))


def _add_publisher(app: Any, publisher: "OutboxPublisher") -> None:
    @app.task  # type: ignore[untyped-decorator]
    async def publish_outbox() -> None:
        while not app.should_stop:
            await publisher.publish_pending()
            await app.sleep(publisher.source.poll_seconds)


class OutboxPublisher:
    """Publishes the outbox rows of one source."""

    def __init__(self, database: Database, producer: AIOKafkaProducer, source: OutboxSource) -> None:
        self.source = source
        self._database = database
        self._lock = LeaderLock(database, f"outbox {source.kind}")
        self._producer = producer
        self._writer = BatchWriter(producer)
        self._measure_at = 0.0

    async def publish_pending(self) -> int:
        """Publish all rows that are committed; returns how many. While Kafka is away they stay pending."""
        await self._measure()
        published = 0
        try:
            while (done := await self._lock.run_if_leader(self._publish_some)) is not None:
                rows, publication = done
                publication.after_commit()
                published += rows
                if rows < self.source.rows_at_once:
                    break
        except PublishError as error:
            # The old writer may still hold records of the failed transaction.
            self._writer = BatchWriter(self._producer)
            logger.warning(
                "cannot publish to Kafka, outbox rows stay pending: %s",
                error,
                extra={"action": "publish_failed", "kind": self.source.kind},
            )
        return published

    async def _publish_some(self, connection: Connection) -> tuple[int, Publication]:
        rows = await fetch_pending(connection, self.source.kind, self.source.rows_at_once)
        if not rows:
            return 0, Publication()
        references = list(dict.fromkeys(Reference(row["key"], row["time"]) for row in rows))
        publication = await self.source.load(connection, references)
        published_at = datetime.now(UTC)
        await self._publish(publication.records, published_at)
        await publication.confirm(connection, published_at)
        await delete_published(connection, self.source.kind, [row["id"] for row in rows])
        return len(rows), publication

    async def _publish(self, records: Sequence[OutgoingRecord], published_at: datetime) -> None:
        milliseconds = int(published_at.timestamp() * 1000)
        try:
            async with asyncio.timeout(KAFKA_TIMEOUT_SECONDS):
                confirmed = {
                    await self._writer.add(
                        record.topic, record.value, key=record.key, headers=record.headers, timestamp_ms=milliseconds
                    )
                    for record in records
                }
                await self._writer.send_batches()
                await asyncio.gather(*map(asyncio.shield, confirmed))
        except (TimeoutError, KafkaError) as error:
            raise PublishError(f"{type(error).__name__}: {error}") from None

    async def _measure(self) -> None:
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + _MEASURE_EVERY_SECONDS
        kind = self.source.kind
        rows, oldest_seconds = await self._database.run(partial(measure_backlog, kind=kind))
        OUTBOX_PENDING_ROWS.labels(kind).set(rows)
        OUTBOX_OLDEST_SECONDS.labels(kind).set(oldest_seconds)
