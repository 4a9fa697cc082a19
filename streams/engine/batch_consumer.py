"""Faust over fetched batches: the records that one fetch returned for a partition are one Faust event.

Stock Faust spends about a hundred microseconds of tasks on every event, and acknowledges some that nobody processed.
Here an event is a `Batch`; agents, tables, rebalancing and supervision stay Faust's. An offset is committed only when
the agent has marked its batch as finished and every batch delivered before it on the partition is finished too.

This stands on private methods of one Faust version, and one of aiokafka's fetcher; pyproject.toml pins them, and
tests/integration/streams/engine/test_batch_consumer.py holds one test for each edge.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from runtime.supervision import watch_tasks_of

GATHER_SECONDS = 0.05
"""How long after an answer the next fetch is sent: what comes meanwhile comes together."""
FETCH_WAIT_MS = 100
"""How long the log holds a fetch that it has no record for; partitions that are not in it wait as long."""
FETCH_PARTITION_BYTES = 1_048_576
"""How much an answer holds of a partition at most, or one record."""

FETCH_MOST_BYTES = 4_194_304
"""How much an answer holds at most; by default 50 MB, which are in memory twice for a moment."""

_CHECK_SECONDS = 0.5

# What an agent sees: AIOKafka's ConsumerRecord, with topic, partition, offset, timestamp, key, value and headers.
Record = Any


class Batch:
    """The records that one fetch returned for one partition, in order."""

    __slots__ = ("acknowledged", "finished", "records", "tp")

    def __init__(self, tp: TP, records: Sequence[Record]) -> None:
        self.tp = tp
        self.records = records
        self.finished = False  # set by the agent, after its work
        self.acknowledged = False  # set by the consumer, when the finished batch may be committed

    @property
    def next_offset(self) -> int:
        """The offset to commit once this batch is done."""
        return int(self.records[-1].offset) + 1

    @property
    def size(self) -> int:
        """The bytes of its values."""
        return sum([len(record.value or b"") for record in self.records])


class _Ignored(dict[TP, int | None]):
    """Read offsets that are never there: with them Faust would drop batches and reckon gaps between their offsets."""

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass

    def update(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class _Consumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Ignored()
        self._delivered: defaultdict[TP, deque[Batch]] = defaultdict(deque)
        # What may be committed. Batches that are done are let go at once: a second of them would be many megabytes.
        self._done: dict[TP, int] = {}

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            # What was fetched is dropped, so it has to be fetched again.
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if not (active is None or tp in active or tp in self._buffered_partitions):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            if self._is_changelog_tp(tp):
                # Recovery of tables counts single records.
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
        # Faust also acknowledges what it skips during a rebalance: that is work nobody has done.
        if not batch.finished or message.generation_id != self.app.consumer_generation_id:
            return False
        batch.acknowledged = True
        delivered = self._delivered.get(batch.tp)
        while delivered and delivered[0].acknowledged:
            self._done[batch.tp] = delivered.popleft().next_offset
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._done) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._done.pop(tp, None)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets between two batches are no gap."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # What is done belongs to us; what is not will be delivered again, to us or to another.
        await self.commit()
        self._forget(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._forget(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    def oldest_unfinished(self) -> float | None:
        """When the log got the oldest record that was delivered and is not done, in seconds since 1970."""
        heads = (batch for queue in self._delivered.values() for batch in queue if not batch.acknowledged)
        return min((batch.records[0].timestamp / 1000 for batch in heads), default=None)

    def _forget(self, partitions: Iterable[TP]) -> None:
        for tp in partitions:
            self._delivered.pop(tp, None)
            self._done.pop(tp, None)


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Lets records gather for a moment between two fetches: few large batches cost less than many small.

    What comes after a pause is answered at once, but for the moment after a fetch that was held in vain. If it was the
    log that waited for many bytes, a single record would wait as long as many do.
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
        consumer._fetch_max_bytes = FETCH_MOST_BYTES  # noqa: SLF001
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

        async def fetch_in_turn(*request: Any) -> bool:
            nonlocal next_at
            try:
                await asyncio.sleep(next_at - time.monotonic())
                return bool(await fetch(*request))
            except asyncio.CancelledError:
                # As the original: the partitions are not ours any more, and nobody cares what would have come.
                return False
            finally:
                next_at = time.monotonic() + GATHER_SECONDS

        fetcher._proc_fetch_request = fetch_in_turn  # noqa: SLF001


class _Producer(driver.Producer):
    """Of the changelogs: what it was given it sends until the log has it, once, as all our producers do."""

    def _settings_default(self) -> Mapping[str, Any]:
        return {**super()._settings_default(), "enable_idempotence": True}


class _Transport(driver.Transport):
    Consumer = _Consumer
    Producer = _Producer


class _Schema(faust.Schema[Any, Any]):
    """Passes the batch through: agents decode for themselves, so that bad input reaches them."""

    def compile(self, app: Any, **_kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - Faust's signature
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class BatchApp(faust.App):
    """A Faust app whose agents get batches; `role` is what its metrics are labelled with."""

    role = ""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    @property
    def ready(self) -> bool:
        """Whether the worker has joined its group, its tables are restored, and it takes records."""
        recovery: Any = self.tables.recovery  # type: ignore[attr-defined]
        return bool(self.started and recovery.completed.is_set() and not self.rebalancing)

    def oldest_unfinished_seconds(self) -> float:
        """How long ago the log got the oldest record in hand; 0 where there is none."""
        consumer: Any = self.consumer
        oldest = consumer.oldest_unfinished() if self.started else None
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _create_directories(self) -> None:
        """Nothing is kept on disk: tables live in memory and in their changelogs, and the folder may be read-only."""

    def batches_of(self, *topics: str) -> Any:
        """Return the channel of topics, to give to @app.agent."""
        return self.topic(*topics, schema=_Schema(key_serializer="raw", value_serializer="raw"))


def headers_of(record: Record) -> Mapping[str, bytes]:
    """Return a record's headers by name; of repeated ones the last, and null, which strangers may write, as empty."""
    headers: dict[str, bytes] = dict(record.headers or ())
    return {name: value or b"" for name, value in headers.items()} if None in headers.values() else headers
