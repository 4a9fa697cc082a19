"""A process that runs the outbox publishers alone, for tests that kill it; settings come from the environment."""

import asyncio
from dataclasses import replace

from runtime.kafka import producer
from schemas.records.topics import COMMANDS, DISABLED, MINUTES, POWER_LIMITS
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.dead_letters.replay_outbox_source import replay_source
from streams.dr.command_outbox_source import command_source
from streams.outbox.publisher import OutboxPublisher
from streams.rollups.minute_outbox_source import minute_source
from streams.sink.disabled_ven_outbox_source import disabled_ven_source
from streams.sink.power_limits import power_limit_source
from streams.store.database import database as open_database

# Small enough that a kill falls between two pieces, and large enough to keep up with the writers: then rows are
# published while transactions with lower ids are still open.
ROWS_AT_ONCE = 50
_POLL_SECONDS = 0.02


async def main() -> None:
    """Publish until killed."""
    kafka = KafkaSettings.load()
    topics = kafka.topics
    sources = (
        command_source(topics(COMMANDS), 300),
        disabled_ven_source(topics(DISABLED)),
        minute_source(topics(MINUTES)),
        power_limit_source(topics(POWER_LIMITS)),
        replay_source(),
    )
    async with (
        producer(kafka, "outbox") as log,
        open_database(DatabaseSettings.load(), "outbox", len(sources)) as database,
        asyncio.TaskGroup() as tasks,
    ):
        for source in sources:
            tasks.create_task(_publish(OutboxPublisher(database, log, replace(source, rows_at_once=ROWS_AT_ONCE))))


async def _publish(publisher: OutboxPublisher) -> None:
    while True:
        await publisher.publish_pending()
        await asyncio.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
