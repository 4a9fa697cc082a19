"""Role `sink`: canonical records become rows, each batch in one transaction, acknowledged after its commit."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import msgspec
from aiokafka import AIOKafkaProducer

from runtime.metrics import DEAD_LETTERS, declare_series
from schemas.base.rejection import Reason, Rejection
from schemas.base.time_window import TimeWindow
from schemas.parsing.acks import decode_ack
from schemas.parsing.shadow import decode_shadow
from schemas.parsing.status import decode_status
from schemas.parsing.vtn_messages import decode_vtn_message
from schemas.records import topics
from schemas.records.dead_letters import ReplayOf
from schemas.records.telemetry import decode_fault, decode_reading, decode_snapshot
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.dead_letters.replay_store import note_outcome
from streams.dr.ack_store import AckStore
from streams.engine.batch_consumer import Batch, Record, headers_of
from streams.engine.batch_processing import process_concurrently
from streams.engine.batch_producer import BatchProducer
from streams.sink.audit_retention import forget_old_audit
from streams.sink.document_store import keep_notices, keep_shadows
from streams.sink.telemetry_store import fault_store, reading_store, snapshot_store
from streams.store.database import DATA_FAULTS, Database, TransactionHook
from streams.store.day_partitions import DayPartitions
from streams.store.row_store import UpsertStore
from streams.store.ven_status import record_status

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""How many batches of samples are under way: one is got ready and another stored, or both are stored."""

HOUSEKEEPING_SECONDS = 600
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)


class Store(Protocol):
    """Where canonical records of one topic go."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that hold a row of each record; none, where only the latest is kept."""

    def exclusive_keys(self, records: Sequence[Any], /) -> AbstractAsyncContextManager[None]:
        """Have no other batch under way with a record of the same key, so that of two the first counts."""

    async def store(self, records: Sequence[Any], hook: TransactionHook | None = None) -> None:
        """Store records, and do `hook` in the same transaction; raises DATA_FAULTS."""


def add_sink(
    app: Any,
    kafka: KafkaSettings,
    streams: StreamsSettings,
    producer: AIOKafkaProducer,
    database: Database,
    partitions: DayPartitions,
) -> None:
    """Register the role's agents and its housekeeping with the app."""
    window = streams.window
    sinks: tuple[tuple[str, Callable[[bytes], Any], Store, TimeWindow | None], ...] = (
        (topics.TELEMETRY, decode_reading, reading_store(database, partitions), window),
        (topics.LOADS, decode_snapshot, snapshot_store(database, partitions), window),
        (topics.FAULTS, decode_fault, fault_store(database, partitions), window),
        (topics.ACKS, decode_ack, AckStore(database, partitions), window),
        (topics.VTN_MESSAGES, decode_vtn_message, UpsertStore(database, keep_notices, partitions), window),
        (topics.STATUS, decode_status, UpsertStore(database, record_status), None),
        (topics.SHADOW, decode_shadow, UpsertStore(database, keep_shadows), None),
    )
    declare_series(DEAD_LETTERS, (kafka.topics(topic) for topic, *_ in sinks), (Reason.UNSTORABLE,))
    for topic, decode, store, times in sinks:
        sink = Sink(partial(BatchProducer, producer, kafka.topics), decode, store, times)
        # What VENs measure is much, and right in any order. All else is little, and of some of it the last counts.
        at_once = AT_ONCE if topic in {topics.TELEMETRY, topics.LOADS} else 1
        _add_agent(app, kafka.topics(topic), streams.streams_batch_records, at_once, sink)

    @app.task  # type: ignore[untyped-decorator]
    async def maintain() -> None:
        while not app.should_stop:
            await partitions.maintain()
            await forget_old_audit(database, streams.audit_retention_days)
            await app.sleep(HOUSEKEEPING_SECONDS)


def _add_agent(app: Any, topic: str, max_records: int, at_once: int, sink: "Sink") -> None:
    @app.agent(app.batches_of(topic), name=f"sink-{topic}")  # type: ignore[untyped-decorator]
    async def sink_batches(stream: Any) -> None:
        await process_concurrently(stream, max_records, at_once, sink.take)


class Sink:
    """Decodes and stores; a record that cannot be stored is set apart and stops nothing."""

    def __init__(
        self,
        new_producer: Callable[[], BatchProducer],
        decode: Callable[[bytes], Any],
        store: Store,
        window: TimeWindow | None,
    ) -> None:
        """Describe it; `window` None is for records that count whatever their time.

        `new_producer` makes one: several batches may be under way, and each waits for dead letters of its own.
        """
        self._new_producer = new_producer
        self._window = window
        self._decode = decode
        self._store = store

    async def take(self, batches: Sequence[Batch]) -> None:
        """Store all records of the batches; at return each is committed, or a dead letter in the log."""
        batch_producer, now = self._new_producer(), datetime.now(UTC)
        decoded = []
        replays = []
        for batch in batches:
            for record in batch.records:
                canonical = self._decoded(record, now)
                if isinstance(canonical, Rejection):
                    batch_producer.dead_letter(record, canonical)
                elif record.headers and topics.HEADER_REPLAY_OF in headers_of(record):
                    replays.append((record, canonical))
                else:
                    decoded.append((record, canonical))
        async with self._store.exclusive_keys([canonical for _, canonical in [*decoded, *replays]]):
            if decoded:
                await self._store_or_set_apart(batch_producer, decoded)
            # One by one: somebody waits to be told what became of each.
            for replay in replays:
                await self._store_or_set_apart(batch_producer, [replay], self._outcome_of(*replay))
        await batch_producer.flush()

    def _outcome_of(self, record: Record, canonical: Any) -> TransactionHook | None:
        replay = ReplayOf.parse(headers_of(record)[topics.HEADER_REPLAY_OF])
        if replay is None:
            return None
        return partial(note_outcome, replay=replay, tables=self._store.tables, record=canonical)

    def _decoded(self, record: Record, now: datetime) -> Any:
        """What `validate` wrote always decodes; others may write here, too."""
        try:
            canonical = self._decode(record.value or b"")
        except msgspec.ValidationError as error:
            return Rejection(Reason.BAD_VALUE, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Rejection(Reason.NOT_JSON, str(error))
        if not _OLDEST < canonical.received_at <= now:
            # Nobody is heard in the future, and a clock of ours may be a little ahead of this one.
            canonical = msgspec.structs.replace(canonical, received_at=now)
        if self._window is None:
            return canonical
        return self._window.check(canonical.timestamp, now) or canonical

    async def _store_or_set_apart(
        self, batch_producer: BatchProducer, decoded: Sequence[tuple[Record, Any]], hook: TransactionHook | None = None
    ) -> None:
        """Find what the database refuses by halving, so that the rest is stored."""
        try:
            await self._store.store([canonical for _, canonical in decoded], hook)
        except DATA_FAULTS as error:
            if len(decoded) == 1:
                record, _ = decoded[0]
                logger.warning("set apart: %s", error, extra={"action": "unstorable"})
                batch_producer.dead_letter(record, Rejection(Reason.UNSTORABLE, str(error)))
                return
            middle = len(decoded) // 2
            await self._store_or_set_apart(batch_producer, decoded[:middle])
            await self._store_or_set_apart(batch_producer, decoded[middle:])
