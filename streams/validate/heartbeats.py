"""Relays the bridge's heartbeats: each partition's follows what the bridge sent before it."""

from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

from schemas.records.network import Heartbeat
from schemas.records.telemetry import encode_record
from schemas.records.topics import HEADER_HEARTBEAT, HEARTBEATS, TopicNames
from streams.engine.batch import Record, headers_of
from streams.engine.batch_producer import BatchProducer
from streams.validate.receive_time import receive_time


class HeartbeatRelay:
    """Keeps the newest heartbeat of each partition; call `flush` once Kafka holds all records before them."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._producer = producer
        self._topic = names(HEARTBEATS)
        self._batch_producer = BatchProducer(producer, names)
        self._newest: dict[int, datetime] = {}

    def receive(self, partition: int, at: datetime) -> None:
        """Keep the heartbeat of a partition of ven.raw.metering; it holds for the same partition of ven.telemetry."""
        self._newest[partition] = max(at, self._newest.get(partition, datetime.min.replace(tzinfo=UTC)))

    async def flush(self) -> None:
        """Publish the newest heartbeat of each partition."""
        newest, self._newest = self._newest, {}
        if not newest:
            return
        existing = await self._producer.partitions_for(self._topic)
        for partition in newest.keys() & existing:
            heartbeat = encode_record(Heartbeat(newest[partition]))
            self._batch_producer.send(self._topic, None, heartbeat, partition=partition)
        await self._batch_producer.flush()


def heartbeat_of(record: Record, now: datetime) -> datetime | None:
    """Return the time of a heartbeat, at most `now`; None for a message."""
    if record.value or HEADER_HEARTBEAT not in headers_of(record):
        return None
    # If the bridge's clock is ahead, its heartbeats are as old as its samples, not younger.
    return min(receive_time(headers_of(record), record.timestamp), now)
