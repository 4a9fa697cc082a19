"""A Faust app whose events are batches: one event carries all records that one fetch returned for a partition.

Stock Faust spends about 100 µs per event, and acknowledges some events that no agent processed. Agents, tables,
rebalances and supervision stay Faust's. An offset is committed only when the agent has finished its batch and all
batches that were delivered before it on the partition.

This file overrides private methods of Faust and of aiokafka's fetcher (hence `noqa: SLF001`). pyproject.toml pins their
versions, and tests/integration/streams/engine/ has a test for each method.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextvars import Context, copy_context
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from runtime.supervision import watch_tasks_of
from streams.engine.batch import Batch

FETCH_PAUSE_SECONDS = 0.05
"""Pause between a response and the next fetch, so that records gather into larger batches."""
FETCH_WAIT_MS = 100
"""How long Kafka holds a fetch without records; partitions that are not in the fetch wait as long."""
FETCH_PARTITION_BYTES = 1_048_576
"""The most that a response contains of one partition, unless one record is larger."""

FETCH_MAX_BYTES = 4_194_304
"""The most that a response contains. The default of 50 MB would be in memory twice for a moment."""

_CHECK_SECONDS = 0.5


class _NoReadOffsets(dict[TP, int | None]):
    """Read offsets that are always unknown: with known ones, Faust would drop batches and see gaps between them."""

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass

    def update(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class _Consumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()
        self._delivered: defaultdict[TP, deque[Batch]] = defaultdict(deque)
        # The offset to commit per partition. Finished batches are dropped at once, because they hold many megabytes.
        self._committable: dict[TP, int] = {}

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

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


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Pauses between two fetches, because few large batches cost less than many small ones.

    After an idle time, a record is delivered at once. With Kafka's `fetch_min_bytes` instead, a single record would
    wait as long as many.
    """

    _context: Context

    async def start(self) -> None:
        # A thread begins without any context, and its tasks would have no supervisor.
        self._context = copy_context()
        watch_tasks_of(self.thread_loop)
        await super().start()

    def _start_thread(self) -> None:
        self._context.run(super()._start_thread)

    @Service.task
    async def _check_coordinator(self) -> None:
        """Raise what the coordinator cannot get over: it waits until somebody asks, and Faust never does."""
        while not self.should_stop:
            await self.sleep(_CHECK_SECONDS)
            self._ensure_consumer()._coordinator.check_errors()  # noqa: SLF001

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._fetch_max_bytes = FETCH_MAX_BYTES  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        self._fit_first_assignment()
        self._gather_between_fetches()

    def _fit_first_assignment(self) -> None:
        """Join once more where the group's assignment was made for the topics of the worker before (group_member)."""
        assignor: Any = self._assignor
        coordinator: Any = self._ensure_consumer()._coordinator  # noqa: SLF001
        complete = coordinator._on_join_complete  # noqa: SLF001

        async def complete_join(generation: int, member_id: str, protocol: str, assignment: bytes) -> None:
            assignment, fits = assignor.fitted(assignment, coordinator._subscription.topics)  # noqa: SLF001
            # Once is enough, and a topic that does not exist would never be assigned.
            coordinator._on_join_complete = complete  # noqa: SLF001
            await complete(generation, member_id, protocol, assignment)
            if not fits:
                coordinator.request_rejoin()

        coordinator._on_join_complete = complete_join  # noqa: SLF001

    def _gather_between_fetches(self) -> None:
        fetcher: Any = self._ensure_consumer()._fetcher  # noqa: SLF001
        fetch = fetcher._proc_fetch_request  # noqa: SLF001
        next_at = 0.0

        async def fetch_after_pause(*request: Any) -> bool:
            nonlocal next_at
            try:
                await asyncio.sleep(next_at - time.monotonic())
                return bool(await fetch(*request))
            except asyncio.CancelledError:
                # As in aiokafka: the partitions were revoked, so the response no longer matters.
                return False
            finally:
                next_at = time.monotonic() + FETCH_PAUSE_SECONDS

        fetcher._proc_fetch_request = fetch_after_pause  # noqa: SLF001


class _Producer(driver.Producer):
    """The producer of the changelogs, idempotent like all our producers."""

    def _settings_default(self) -> Mapping[str, Any]:
        return {**super()._settings_default(), "enable_idempotence": True}


class _Transport(driver.Transport):
    Consumer = _Consumer
    Producer = _Producer


class _Schema(faust.Schema[Any, Any]):
    """Passes batches through undecoded, because agents make dead letters of bad input."""

    def compile(self, app: Any, **_kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - Faust's signature
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class BatchApp(faust.App):
    """A Faust app whose agents receive batches; `role` labels its metrics."""

    role = ""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    @property
    def ready(self) -> bool:
        """Whether the worker has joined its group, its tables are restored, and it takes records."""
        recovery: Any = self.tables.recovery  # type: ignore[attr-defined]
        return bool(self.started and recovery.completed.is_set() and not self.rebalancing)

    def oldest_unfinished_seconds(self) -> float:
        """Return the age of the oldest record in progress, by its Kafka timestamp; 0 without one."""
        consumer: Any = self.consumer
        oldest = consumer.oldest_unfinished() if self.started else None
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _create_directories(self) -> None:
        """Create none: tables live in memory and in their changelogs, and the file system may be read-only."""

    def batches_of(self, *topics: str) -> Any:
        """Return the channel of these topics for `@app.agent`."""
        return self.topic(*topics, schema=_Schema(key_serializer="raw", value_serializer="raw"))
