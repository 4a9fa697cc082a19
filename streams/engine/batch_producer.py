"""Collects what a batch produces and writes it to Kafka before the batch is acknowledged."""

import asyncio
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.batch_writer import BatchWriter
from runtime.metrics import DEAD_LETTERS
from schemas.base.rejection import Rejection
from schemas.records.dead_letters import dead_letter_headers_for
from schemas.records.topics import TopicNames
from streams.engine.batch import Record

_Queued = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]] | None, int | None]


class BatchProducer:
    """Queues records; `flush` writes them and waits until Kafka has acknowledged each."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._writer = BatchWriter(producer)
        self._names = names
        self._queued: list[_Queued] = []
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._rejected: set[tuple[str, int, int]] = set()

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
    ) -> None:
        """Queue a record for the next `flush`."""
        self._queued.append((topic, value, key, headers, partition))

    def dead_letter(self, record: Record, rejection: Rejection, *, clock_skew: float | None = None) -> None:
        """Queue a record for its dead-letter topic; `clock_skew` is in seconds."""
        headers = dead_letter_headers_for(record, rejection, clock_skew=clock_skew)
        self.send(self._names.dead_letters(record.topic), record.key, record.value or b"", headers)
        self._reasons[record.topic, rejection.reason] += 1
        # A record with several rejected loads counts once.
        self._rejected.add((record.topic, record.partition, record.offset))

    async def flush(self) -> int:
        """Write what is queued and wait until Kafka holds all of it; return how many records became dead letters.

        Raises:
            KafkaError: Kafka refuses a record for good; the batch must not be acknowledged.
        """
        queued, self._queued = self._queued, []
        reasons, self._reasons = self._reasons, Counter()
        rejected, self._rejected = self._rejected, set()
        # One future per written batch; a dict keeps their order.
        writes: dict[asyncio.Future[Any], None] = {}
        for topic, value, key, headers, partition in queued:
            write = await self._writer.add(topic, value, key=key, headers=headers, partition=partition)
            writes[write] = None
        await self._writer.send_batches()
        for write in writes:
            await write
        for (topic, reason), number in reasons.items():
            DEAD_LETTERS.labels(topic, reason).inc(number)
        return len(rejected)
