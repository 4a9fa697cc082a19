"""Role `sink`: canonical records become rows, each batch in one transaction, acknowledged after its commit."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.readings import FaultReport, Reading, decode_fault, decode_reading
from schemas.reasons import Reason, Rejection
from schemas.settings import KafkaSettings, StreamsSettings
from schemas.topics import FAULTS, TELEMETRY
from schemas.window import Window
from streams.batches import Batch, Record, gathered
from streams.outbox import Outbox
from streams.store.database import DATA_FAULTS, Database
from streams.store.partitions import Partitions
from streams.store.readings import FaultStore, ReadingStore

logger = logging.getLogger(__name__)

R = TypeVar("R", Reading, FaultReport)
Decode = Callable[[bytes], R]
Store = Callable[[Sequence[R]], Awaitable[None]]

HOUSEKEEPING_SECONDS = 600


def add_sink(
    app: Any,
    kafka: KafkaSettings,
    streams: StreamsSettings,
    producer: AIOKafkaProducer,
    database: Database,
) -> None:
    """Register the role's agents and its housekeeping with the app."""
    partitions = Partitions(database, streams.window, streams.partitions_ahead_days)
    sinks: tuple[tuple[str, Decode[Any], Store[Any]], ...] = (
        (TELEMETRY, decode_reading, ReadingStore(database, partitions).store),
        (FAULTS, decode_fault, FaultStore(database, partitions).store),
    )
    for topic, decode, store in sinks:
        sink = Sink(Outbox(producer, kafka.topics), decode, store, streams.window)
        _add_agent(app, kafka.topics(topic), streams.streams_batch_records, sink)

    @app.task  # type: ignore[untyped-decorator]
    async def keep_house() -> None:
        while not app.should_stop:
            await partitions.keep_house()
            await app.sleep(HOUSEKEEPING_SECONDS)


def _add_agent(app: Any, topic: str, most_records: int, sink: "Sink[Any]") -> None:
    @app.agent(app.batches_of(topic), name=f"sink-{topic}")  # type: ignore[untyped-decorator]
    async def sink_batches(stream: Any) -> None:
        async for batches in gathered(stream, most_records):
            await sink.take(batches)


class Sink(Generic[R]):
    """Decodes and stores; a record that cannot be stored is set apart and stops nothing."""

    def __init__(self, outbox: Outbox, decode: Decode[R], store: Store[R], window: Window) -> None:
        self._outbox = outbox
        self._window = window
        self._decode: Decode[R] = decode
        self._store: Store[R] = store

    async def take(self, batches: Sequence[Batch]) -> None:
        """Store all records of the batches; at return each is committed, or a dead letter in the log."""
        decoded = []
        for batch in batches:
            for record in batch.records:
                canonical = self._decoded(record)
                if isinstance(canonical, Rejection):
                    await self._outbox.dead_letter(record, canonical)
                else:
                    decoded.append((record, canonical))
        if decoded:
            await self._store_or_set_apart(decoded)
        await self._outbox.settled()

    def _decoded(self, record: Record) -> R | Rejection:
        """What `validate` wrote always decodes; others may write here, too."""
        try:
            canonical = self._decode(record.value or b"")
        except msgspec.ValidationError as error:
            return Rejection(Reason.BAD_VALUE, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Rejection(Reason.NOT_JSON, str(error))
        return self._window.check(canonical.timestamp, datetime.now(UTC)) or canonical

    async def _store_or_set_apart(self, decoded: Sequence[tuple[Record, R]]) -> None:
        """Find what the database refuses by halving, so that the rest is stored."""
        try:
            await self._store([canonical for _, canonical in decoded])
        except DATA_FAULTS as error:
            if len(decoded) == 1:
                record, _ = decoded[0]
                logger.warning("set apart: %s", error, extra={"action": "unstorable"})
                await self._outbox.dead_letter(record, Rejection(Reason.UNSTORABLE, str(error)))
                return
            middle = len(decoded) // 2
            await self._store_or_set_apart(decoded[:middle])
            await self._store_or_set_apart(decoded[middle:])
