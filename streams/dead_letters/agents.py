"""The Faust agent of dead letters, in the role `sink`: it indexes their topics."""

from typing import Any

from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.dead_letters.store import DeadLetterStore
from streams.engine.batch_processing import merged_batches
from streams.store.database import Database
from streams.store.day_partitions import DayPartitions


def add_dead_letters(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, database: Database, partitions: DayPartitions
) -> None:
    """Register the index with the app."""
    store = DeadLetterStore(database, partitions, streams.window)

    @app.agent(app.batches_of(*kafka.topics.all_dead_letters), name="sink-dead-letters")  # type: ignore[untyped-decorator]
    async def index(stream: Any) -> None:
        async for batches in merged_batches(stream, streams.streams_batch_records):
            await store.store(record for batch in batches for record in batch.records)
