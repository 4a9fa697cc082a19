"""Records for the log in batches that are filled here: one hand-over and one answer a batch, not a record.

The producer's own way makes a future and looks for the partition of each record, which costs more than all else that is
done with a small one.
"""

import asyncio
import random
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner

_KEYS_KNOWN = 200_000

Headers = list[tuple[str, bytes]]


class _Spread:
    """Where the keys of a topic go: as all Kafka clients spread them, and each is worked out once."""

    def __init__(self, partitions: list[int]) -> None:
        self.partitions = partitions
        self._known: dict[bytes, int] = {}
        # What has no key goes to one partition for a while, so that it makes one batch.
        self._without_key = random.choice(partitions)  # noqa: S311 - chance is no secret

    def of(self, key: bytes | None) -> int:
        if key is None:
            return self._without_key
        partition = self._known.get(key)
        if partition is None:
            if len(self._known) >= _KEYS_KNOWN:
                self._known.clear()
            partition = self._known[key] = DefaultPartitioner()(key, self.partitions, self.partitions)
        return partition

    def turn(self) -> None:
        self._without_key = random.choice(self.partitions)  # noqa: S311 - chance is no secret


class _Open:
    """A batch that is being filled."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.append = builder.append
        self.written: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def take_outcome(self, sent: "asyncio.Future[Any]") -> None:
        if self.written.done():
            return
        if sent.cancelled():
            self.written.cancel()
        elif error := sent.exception():
            self.written.set_exception(error)
        else:
            self.written.set_result(None)


class BatchWriter:
    """Fills batches, to be used by one coroutine at a time; records of a partition stay in order."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client
        self._spreads: dict[str, _Spread] = {}
        self._looked_up: set[str] = set()
        self._open: dict[tuple[str, int], _Open] = {}

    async def add(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> "asyncio.Future[Any]":
        """Add a record; waits while the log is away and what is before it in its partition was not sent.

        The future is that of its batch, the same for all records in it: the log's word, once it was handed over.
        """
        if topic not in self._looked_up:
            await self._look_up(topic)
        place = topic, self._spreads[topic].of(key) if partition is None else partition
        batch = self._open.get(place)
        if batch is None or batch.append(timestamp=None, key=key, value=value, headers=headers or []) is None:
            if batch is not None:
                await self._send_batch(place)
            batch = self._open[place] = _Open(self._client.create_batch())
            # The first one always has room.
            batch.append(timestamp=None, key=key, value=value, headers=headers or [])
        return batch.written

    async def send_batches(self) -> None:
        """Hand all that was added to the producer; waits while the log is away."""
        for place in list(self._open):
            await self._send_batch(place)
        for topic in self._looked_up:
            self._spreads[topic].turn()
        # Partitions may be added at any time.
        self._looked_up.clear()

    async def _look_up(self, topic: str) -> None:
        while True:
            try:
                partitions = sorted(await self._client.partitions_for(topic))
            except KafkaTimeoutError:
                continue
            break
        spread = self._spreads.get(topic)
        if spread is None or spread.partitions != partitions:
            self._spreads[topic] = _Spread(partitions)
        self._looked_up.add(topic)

    async def _send_batch(self, place: tuple[str, int]) -> None:
        topic, partition = place
        batch = self._open.pop(place)
        batch.builder.close()
        while True:
            try:
                sent = await self._client.send_batch(batch.builder, topic, partition=partition)
            except KafkaTimeoutError:
                continue
            sent.add_done_callback(batch.take_outcome)
            return
