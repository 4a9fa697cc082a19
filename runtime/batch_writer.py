"""Writes records to Kafka in batches that this module fills: one call of the producer and one future per batch.

`AIOKafkaProducer.send` creates a future and chooses a partition for each record, which costs more than all other work
on a small record.
"""

import asyncio
import random
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner

_CACHED_KEYS = 200_000

Headers = list[tuple[str, bytes]]


class _Partitioner:
    """Chooses the partitions of a topic's keys as all Kafka clients do, and caches them."""

    def __init__(self, partitions: list[int]) -> None:
        self.partitions = partitions
        self._cache: dict[bytes, int] = {}
        self.switch()

    def switch(self) -> None:
        """Choose the partition of the next records without a key: one for all of them, so that they share a batch."""
        self._without_key = random.choice(self.partitions)  # noqa: S311 - load balancing needs no secure random

    def partition_of(self, key: bytes | None) -> int:
        if key is None:
            return self._without_key
        partition = self._cache.get(key)
        if partition is None:
            if len(self._cache) >= _CACHED_KEYS:
                self._cache.clear()
            partition = self._cache[key] = DefaultPartitioner()(key, self.partitions, self.partitions)
        return partition


class _OpenBatch:
    """A batch that is being filled."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.append = builder.append
        self.written: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def copy_outcome(self, sent: "asyncio.Future[Any]") -> None:
        if self.written.done():
            return
        if sent.cancelled():
            self.written.cancel()
        elif error := sent.exception():
            self.written.set_exception(error)
        else:
            self.written.set_result(None)


class BatchWriter:
    """Fills and sends batches for one coroutine at a time; records of a partition stay in order."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client
        self._partitioners: dict[str, _Partitioner] = {}
        self._up_to_date: set[str] = set()  # topics whose partitions were read since the last send_batches
        self._open: dict[tuple[str, int], _OpenBatch] = {}

    async def add(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> "asyncio.Future[Any]":
        """Add a record; its timestamp is now unless one is given. Waits if the batch is full and Kafka is unreachable.

        Returns the future of its batch, which all records of the batch share. It is done when Kafka has acknowledged
        the batch, and has the error if Kafka refuses it.
        """
        if topic not in self._up_to_date:
            await self._read_partitions(topic)
        place = topic, self._partitioners[topic].partition_of(key) if partition is None else partition
        batch = self._open.get(place)
        if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers or []) is None:
            if batch is not None:
                await self._send_batch(place)
            batch = self._open[place] = _OpenBatch(self._client.create_batch())
            # An empty batch accepts a record of any size.
            batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers or [])
        return batch.written

    async def send_batches(self) -> None:
        """Pass all open batches to the producer. Waits while its buffer is full and Kafka is unreachable."""
        for place in list(self._open):
            await self._send_batch(place)
        for topic in self._up_to_date:
            self._partitioners[topic].switch()
        # Partitions may be added at any time.
        self._up_to_date.clear()

    async def _read_partitions(self, topic: str) -> None:
        while True:
            try:
                partitions = sorted(await self._client.partitions_for(topic))
            except KafkaTimeoutError:
                continue
            break
        partitioner = self._partitioners.get(topic)
        if partitioner is None or partitioner.partitions != partitions:
            self._partitioners[topic] = _Partitioner(partitions)
        self._up_to_date.add(topic)

    async def _send_batch(self, place: tuple[str, int]) -> None:
        topic, partition = place
        batch = self._open.pop(place)
        batch.builder.close()
        while True:
            try:
                sent = await self._client.send_batch(batch.builder, topic, partition=partition)
            except KafkaTimeoutError:
                continue
            sent.add_done_callback(batch.copy_outcome)
            return
