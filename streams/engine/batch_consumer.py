"""A Faust consumer that delivers batches: one event carries all records that one fetch returned for a partition.

Stock Faust spends about 100 µs per event, and acknowledges some events that no agent processed. Agents, tables,
rebalances and supervision stay Faust's. An offset is committed only when the agent has finished its batch and all
batches that were delivered before it on the partition.

This file overrides private methods of Faust and of aiokafka's fetcher (hence `noqa: SLF001`). pyproject.toml pins their
versions, and tests/integration/streams/engine/ has a test for each method.
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.engine.batch import Batch
from streams.engine.consumer_thread import ConsumerThread


class _NoReadOffsets(dict[TP, int | None]):
    """Read offsets that are always unknown: with known ones, Faust would drop batches and see gaps between them."""

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass

    def update(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class BatchConsumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()
        self._delivered: defaultdict[TP, deque[Batch]] = defaultdict(deque)
        # The offset to commit per partition. Finished batches are dropped at once, because they hold many megabytes.
        self._committable: dict[TP, int] = {}

    def _new_consumer_thread(self) -> Any:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            # The fetched records are dropped, so they must be fetched again.
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if not (active is None or tp in active or tp in self._buffered_partitions):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            if self._is_changelog_tp(tp):
                # The recovery of tables counts single records.
                for record in records:
                    yield tp, self._to_message(tp, record)
            elif records:
                batch = Batch(tp, records)
                self._delivered[tp].append(batch)
                message: Any = self._to_message(tp, records[-1])
                message.value = batch
                yield tp, message

    def ack(self, message: Any) -> bool:
        batch = message.value
        if not isinstance(batch, Batch):
            return bool(super().ack(message))
        message.acked = True
        self._unacked_messages.discard(message)
        # Faust also acknowledges events that it skips during a rebalance; no agent has processed them.
        if not batch.finished or message.generation_id != self.app.consumer_generation_id:
            return False
        batch.acknowledged = True
        delivered = self._delivered.get(batch.tp)
        while delivered and delivered[0].acknowledged:
            self._committable[batch.tp] = delivered.popleft().next_offset
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._committable) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._committable.pop(tp, None)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps: offsets between two batches are none."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # Finished batches are committed; unfinished ones are redelivered, here or to another worker.
        await self.commit()
        self._forget(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._forget(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    def oldest_unfinished(self) -> float | None:
        """Return the Kafka timestamp of the oldest record in progress, in seconds since 1970."""
        heads = (batch for queue in self._delivered.values() for batch in queue if not batch.acknowledged)
        return min((batch.records[0].timestamp / 1000 for batch in heads), default=None)

    def _forget(self, partitions: Iterable[TP]) -> None:
        for tp in partitions:
            self._delivered.pop(tp, None)
            self._committable.pop(tp, None)
