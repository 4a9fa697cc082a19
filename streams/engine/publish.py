"""Publishes records of committed database rows, with a deadline: while the log is away, the caller tries again later.

The caller marks rows as published after the log has acknowledged them, so a crash in between publishes them again.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.batch_writer import BatchWriter

# After this time the caller's transaction is rolled back, and its rows wait.
PUBLISH_TIMEOUT_SECONDS = 10.0


class OutgoingRecord(NamedTuple):
    """A record to publish."""

    key: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class PublishError(Exception):
    """The log did not acknowledge the records in time."""


async def publish_many(writer: BatchWriter, topic: str, records: Iterable[OutgoingRecord]) -> None:
    """Publish many records with a writer that serves no other purpose.

    Raises:
        PublishError: the log is away. It may still have taken some records, and the writer may still hold some.
    """
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
            writes = {
                await writer.add(topic, record.value, key=record.key.encode(), headers=[*record.headers])
                for record in records
            }
            await writer.send_batches()
            await asyncio.gather(*map(asyncio.shield, writes))
    except (TimeoutError, KafkaError) as error:
        raise PublishError(f"{topic}: {type(error).__name__}: {error}") from None


async def publish(producer: AIOKafkaProducer, topic: str, records: Iterable[OutgoingRecord]) -> list[Any]:
    """Publish records; return the log's RecordMetadata of each.

    Raises:
        PublishError: the log is away. It may still have taken some records.
    """
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
            sent: list[asyncio.Future[Any]] = [
                await producer.send(topic, record.value, key=record.key.encode(), headers=record.headers)
                for record in records
            ]
            return await asyncio.gather(*map(asyncio.shield, sent))
    except (TimeoutError, KafkaError) as error:
        raise PublishError(f"{topic}: {type(error).__name__}: {error}") from None
