"""Beats on their way through `validate`: what the bridge says of a partition is passed on when all before it is."""

from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

from schemas.records.network import Beat
from schemas.records.telemetry import encode_record
from schemas.records.topics import BEATS, TopicNames
from streams.engine.batch_producer import Outbox


class Beats:
    """Keeps the newest beat of each partition; `send_on` is for when the log has what came before them."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._producer = producer
        self._topic = names(BEATS)
        self._outbox = Outbox(producer, names)
        self._newest: dict[int, datetime] = {}

    def take(self, partition: int, at: datetime) -> None:
        """Take the beat of a partition of ven.raw.metering; it is true of the same one of ven.telemetry."""
        self._newest[partition] = max(at, self._newest.get(partition, datetime.min.replace(tzinfo=UTC)))

    async def send_on(self) -> None:
        """Say how far the partitions have come."""
        newest, self._newest = self._newest, {}
        if not newest:
            return
        there = await self._producer.partitions_for(self._topic)
        for partition in newest.keys() & there:
            self._outbox.send(self._topic, None, encode_record(Beat(newest[partition])), partition=partition)
        await self._outbox.settled()
