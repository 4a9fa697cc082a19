"""Sending what a batch leads to, and knowing that the log has all of it before the batch is acknowledged."""

import asyncio
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.batching import BatchWriter
from runtime.metrics import DEAD_LETTERS
from schemas.base.rejection import Rejection
from schemas.records.dead_letters import headers_of_letter
from schemas.records.topics import TopicNames
from streams.engine.batch_consumer import Record

_Collected = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]] | None, int | None]


class Outbox:
    """Collects what is to be sent; `settled` sends it and waits for the log's word on each."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._writer = BatchWriter(producer)
        self._names = names
        self._collected: list[_Collected] = []
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._set_apart: set[tuple[str, int, int]] = set()

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
    ) -> None:
        """Send one record, once `settled` is waited for."""
        self._collected.append((topic, value, key, headers, partition))

    def dead_letter(self, record: Record, rejection: Rejection, *, clock_skew: float | None = None) -> None:
        """Keep a record that does not count, with the reason."""
        headers = headers_of_letter(record, rejection, clock_skew=clock_skew)
        self.send(self._names.dead_letters(record.topic), record.key, record.value or b"", headers)
        self._reasons[record.topic, rejection.reason] += 1
        # A record whose loads were rejected one by one is set apart once.
        self._set_apart.add((record.topic, record.partition, record.offset))

    async def settled(self) -> int:
        """Send what was collected and wait until the log holds all of it; returns how many records became dead letters.

        Raises:
            KafkaError: it refused something for good; the batch must not be acknowledged.
        """
        collected, self._collected = self._collected, []
        reasons, self._reasons = self._reasons, Counter()
        set_apart, self._set_apart = self._set_apart, set()
        # One for each batch; as a dict, so that they stay in order.
        batches: dict[asyncio.Future[Any], None] = {}
        for topic, value, key, headers, partition in collected:
            written = await self._writer.add(topic, value, key=key, headers=headers, partition=partition)
            batches[written] = None
        await self._writer.hand_over()
        for written in batches:
            await written
        for (topic, reason), number in reasons.items():
            DEAD_LETTERS.labels(topic, reason).inc(number)
        return len(set_apart)
