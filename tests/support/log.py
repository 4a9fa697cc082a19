"""Writing to the log and reading it back, for tests."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runtime.kafka import client_options
from schemas.records.topics import HEADER_HEARTBEAT
from schemas.settings.blocks import KafkaSettings


class Writer:
    """Puts records in the log."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def together(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        """Write records as one unit: one fetch finds all of them or none."""
        batch = self._producer.create_batch()
        for value in values:
            assert batch.append(key=None, value=value, timestamp=None) is not None
        await (await self._producer.send_batch(batch, topic, partition=partition))

    async def one(self, topic: str, value: bytes | None, partition: int = 0, key: bytes | None = None) -> None:
        await self._producer.send_and_wait(topic, value, key=key, partition=partition)


@asynccontextmanager
async def writer(kafka: KafkaSettings) -> AsyncIterator[Writer]:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.kafka_bootstrap_servers, acks="all", max_batch_size=1_000_000
    ) as producer:
        yield Writer(producer)


async def read_all(kafka: KafkaSettings, topic: str, *, beats: bool = False) -> list[Any]:
    """Return every record that a topic holds now, partition by partition; the bridge's beats when they are wanted."""
    async with AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False) as consumer:
        await consumer._client.force_metadata_update()
        cluster = await consumer._client.fetch_all_metadata()
        partitions = [TopicPartition(topic, number) for number in sorted(cluster.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return [record for record in found if beats or HEADER_HEARTBEAT not in dict(record.headers)]
