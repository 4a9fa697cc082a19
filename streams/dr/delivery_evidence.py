"""Reads `ven.command-log` in the stream role `sink`: the bridge's evidence becomes steps of commands."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.base.rejection import Reason, Rejection
from schemas.records.commands import DeliveryEvidence, decode_delivery_evidence
from schemas.records.topics import COMMAND_LOG
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.dr.command_store import record_evidence
from streams.engine.batch import Record
from streams.engine.batch_processing import merged_batches
from streams.engine.batch_producer import BatchProducer
from streams.store.database import DATA_FAULTS, Database


def add_delivery_evidence(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, database: Database
) -> None:
    """Register the agent with the app."""
    batch_producer = BatchProducer(producer, kafka.topics)

    @app.agent(app.batches_of(kafka.topics(COMMAND_LOG)), name="sink-command-log")  # type: ignore[untyped-decorator]
    async def record_batches(stream: Any) -> None:
        async for batches in merged_batches(stream, streams.streams_batch_records):
            evidences = []
            for record in (record for batch in batches for record in batch.records):
                known = decoded(record)
                if isinstance(known, Rejection):
                    batch_producer.dead_letter(record, known)
                else:
                    evidences.append((record, known))
            if evidences:
                await _record_or_reject(database, batch_producer, evidences)
            await batch_producer.flush()


async def _record_or_reject(
    database: Database, batch_producer: BatchProducer, evidences: Sequence[tuple[Record, DeliveryEvidence]]
) -> None:
    """Find a record that the database rejects by halving the batch: it would stop the whole role otherwise."""
    try:
        await database.run(partial(record_evidence, evidences=[known for _, known in evidences]))
    except DATA_FAULTS as error:
        if len(evidences) == 1:
            batch_producer.dead_letter(evidences[0][0], Rejection(Reason.UNSTORABLE, str(error)))
            return
        middle = len(evidences) // 2
        await _record_or_reject(database, batch_producer, evidences[:middle])
        await _record_or_reject(database, batch_producer, evidences[middle:])


def decoded(record: Record) -> DeliveryEvidence | Rejection:
    """Decode evidence; other programs may write to the topic, too."""
    try:
        return decode_delivery_evidence(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejection(Reason.BAD_VALUE, str(error))
