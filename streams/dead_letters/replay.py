"""Dead letters in the role `sink`: an index of their topics to browse, and the way back for those that are replayed."""

import logging
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from runtime.database import Connection
from runtime.kafka import MAX_RECORD_BYTES
from schemas.base.rejection import Reason
from schemas.records.dead_letters import ReplayOf, source_headers
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.dead_letters.replay_store import forget_gone, note_refused, note_sent, requested
from streams.dead_letters.store import DeadLetterStore
from streams.engine.batch_processing import merged_batches
from streams.engine.batch_producer import BatchProducer
from streams.store.database import Database
from streams.store.day_partitions import DayPartitions

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.5
REPLAYED_AT_ONCE = 200


def add_dead_letters(
    app: Any,
    kafka: KafkaSettings,
    streams: StreamsSettings,
    producer: AIOKafkaProducer,
    database: Database,
    partitions: DayPartitions,
) -> None:
    """Register the index and the replaying with the app."""
    store = DeadLetterStore(database, partitions, streams.window)

    @app.agent(app.batches_of(*kafka.topics.all_dead_letters), name="sink-dead-letters")  # type: ignore[untyped-decorator]
    async def index(stream: Any) -> None:
        async for batches in merged_batches(stream, streams.streams_batch_records):
            await store.store(record for batch in batches for record in batch.records)

    @app.task  # type: ignore[untyped-decorator]
    async def replay() -> None:
        replayer = Replayer(BatchProducer(producer, kafka.topics), database)
        await database.run(forget_gone)
        while not app.should_stop:
            if not await replayer.replay_some():
                await app.sleep(LOOK_EVERY_SECONDS)


class Replayer:
    """Sends what was requested back to its source topic, where it goes the way of any message.

    At least once: a letter that is sent twice meets its own rows, like any message that comes twice.
    """

    def __init__(self, batch_producer: BatchProducer, database: Database) -> None:
        self._batch_producer = batch_producer
        self._database = database

    async def replay_some(self) -> int:
        """Replay the letters that wait, in bounded number; returns how many."""
        rows = await self._database.run(lambda connection: requested(connection, REPLAYED_AT_ONCE))
        replays = [ReplayOf(row["letter_id"], row["letter_time"], row["attempt"]) for row in rows]
        too_large: list[tuple[ReplayOf, str]] = []
        for row, replay in zip(rows, replays, strict=True):
            key, value = row["key"], row["payload"]
            headers = [*source_headers(msgspec.json.decode(row["headers"]), replay.letter_time), replay.header()]
            size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers)
            if size > MAX_RECORD_BYTES:
                # Kafka would reject the whole batch for ever. A corrected payload can be this large.
                because = f"{Reason.TOO_LARGE}: {size} bytes with its headers; its topic holds {MAX_RECORD_BYTES}"
                too_large.append((replay, because))
            else:
                self._batch_producer.send(row["source_topic"], key, value, headers)

        async def note(connection: Connection) -> None:
            for replay, because in too_large:
                await note_refused(connection, replay, because)
            await note_sent(connection, replays)

        if replays:
            await self._batch_producer.flush()
            await self._database.run(note)
            logger.info("replayed %d dead letters", len(replays), extra={"action": "dead_letters_replayed"})
        return len(replays)
