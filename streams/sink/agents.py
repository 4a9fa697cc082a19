"""The Faust agents of the role `sink`, one per canonical topic, and its maintenance."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from runtime.metrics import DEAD_LETTERS, declare_series
from schemas.base.rejection import Reason
from schemas.base.time_window import TimeWindow
from schemas.parsing.acks import decode_ack
from schemas.parsing.shadow import decode_shadow
from schemas.parsing.status import decode_status
from schemas.parsing.vtn_messages import decode_vtn_message
from schemas.records import topics
from schemas.records.telemetry import decode_fault, decode_reading, decode_snapshot
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.dr.ack_store import AckStore
from streams.engine.batch_processing import process_concurrently
from streams.engine.batch_producer import BatchProducer
from streams.sink.audit_retention import delete_expired_audit
from streams.sink.document_store import store_shadows, store_vtn_messages
from streams.sink.sink import Sink, Store
from streams.sink.telemetry_store import fault_store, reading_store, snapshot_store
from streams.store.database import Database
from streams.store.day_partitions import DayPartitions
from streams.store.row_store import UpsertStore
from streams.store.ven_status import record_status

SAMPLE_CONCURRENCY = 2
"""Batches of samples in progress at a time: while one waits for PostgreSQL, the next is prepared."""

MAINTENANCE_SECONDS = 600


class _Source(NamedTuple):
    """A topic and where its records go; records of a source without a window count whatever their time."""

    topic: str
    decode: Callable[[bytes], Any]
    store: Store
    window: TimeWindow | None
    concurrency: int = 1


def add_sink(
    app: Any,
    kafka: KafkaSettings,
    streams: StreamsSettings,
    producer: AIOKafkaProducer,
    database: Database,
    partitions: DayPartitions,
) -> None:
    """Register the agents and the maintenance with the app."""
    window = streams.window
    vtn_messages = UpsertStore(database, store_vtn_messages, partitions)
    sources = (
        # Samples are many and correct in any order. Of the others some count in order of arrival: one batch at a time.
        _Source(topics.TELEMETRY, decode_reading, reading_store(database, partitions), window, SAMPLE_CONCURRENCY),
        _Source(topics.LOADS, decode_snapshot, snapshot_store(database, partitions), window, SAMPLE_CONCURRENCY),
        _Source(topics.FAULTS, decode_fault, fault_store(database, partitions), window),
        _Source(topics.ACKS, decode_ack, AckStore(database, partitions), window),
        _Source(topics.VTN_MESSAGES, decode_vtn_message, vtn_messages, window),
        _Source(topics.STATUS, decode_status, UpsertStore(database, record_status), None),
        _Source(topics.SHADOW, decode_shadow, UpsertStore(database, store_shadows), None),
    )
    reasons = (Reason.UNSTORABLE, Reason.CONFLICTING_SAMPLE)
    declare_series(DEAD_LETTERS, (kafka.topics(source.topic) for source in sources), reasons)
    for source in sources:
        sink = Sink(partial(BatchProducer, producer, kafka.topics), source.decode, source.store, source.window)
        _add_agent(app, kafka.topics(source.topic), streams.streams_batch_records, source.concurrency, sink)

    @app.task  # type: ignore[untyped-decorator]
    async def maintain() -> None:
        while not app.should_stop:
            await partitions.maintain()
            await delete_expired_audit(database, streams.audit_retention_days)
            await app.sleep(MAINTENANCE_SECONDS)


def _add_agent(app: Any, topic: str, max_records: int, concurrency: int, sink: Sink) -> None:
    @app.agent(app.batches_of(topic), name=f"sink-{topic}")  # type: ignore[untyped-decorator]
    async def store_batches(stream: Any) -> None:
        await process_concurrently(stream, max_records, concurrency, sink.process)
