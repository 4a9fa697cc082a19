"""Sending what a batch leads to, and knowing that the log has all of it before the batch is acknowledged."""

import asyncio
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.batching import BatchWriter
from runtime.metrics import DEAD_LETTERS
from schemas.dead_letters import headers_of_letter
from schemas.reasons import Rejection
from schemas.topics import TopicNames
from streams.batches import Record


class Outbox:
    """Collects what was handed to the producer; `settled` waits for the log's word on each."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._writer = BatchWriter(producer)
        self._names = names
        # One for each batch; as a dict, so that they stay in order.
        self._pending: dict[asyncio.Future[Any], None] = {}
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._set_apart: set[tuple[str, int, int]] = set()

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
    ) -> None:
        """Put one record into a batch; waits while the log is away and there are full ones."""
        written = await self._writer.add(topic, value, key=key, headers=headers, partition=partition)
        self._pending[written] = None

    async def dead_letter(self, record: Record, rejection: Rejection, *, clock_skew: float | None = None) -> None:
        """Keep a record that does not count, with the reason."""
        headers = headers_of_letter(record, rejection, clock_skew=clock_skew)
        await self.send(self._names.dead_letters(record.topic), record.key, record.value or b"", headers)
        self._reasons[record.topic, rejection.reason] += 1
        # A record whose loads were rejected one by one is set apart once.
        self._set_apart.add((record.topic, record.partition, record.offset))

    async def settled(self) -> int:
        """Wait until the log holds all that was sent; returns how many records became dead letters.

        Raises:
            KafkaError: it refused something for good; the batch must not be acknowledged.
        """
        pending, self._pending = self._pending, {}
        reasons, self._reasons = self._reasons, Counter()
        set_apart, self._set_apart = self._set_apart, set()
        await self._writer.hand_over()
        for sent in pending:
            await sent
        for (topic, reason), number in reasons.items():
            DEAD_LETTERS.labels(topic, reason).inc(number)
        return len(set_apart)
