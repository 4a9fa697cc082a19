"""ven.telemetry.1m, told beside the role `sink`: every minute that was rolled up, and again when it was corrected."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.batch_writer import BatchWriter
from schemas.records.minutes import Minute
from schemas.records.telemetry import encode_record
from schemas.records.topics import MINUTES
from schemas.settings.blocks import KafkaSettings
from streams.engine.publish import OutgoingRecord, PublishError, publish_many
from streams.rollups.job import LOCK_NAME
from streams.rollups.minute_store import tell_closed, tell_corrected
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
AT_ONCE = 5000
"""A minute of a large fleet in one piece would take more memory than all else that the role does."""


def add_minutes(app: Any, kafka: KafkaSettings, producer: AIOKafkaProducer, database: Database) -> None:
    """Register the telling with the app."""
    minutes = Minutes(database, producer, kafka.topics(MINUTES))

    @app.task  # type: ignore[untyped-decorator]
    async def tell_minutes() -> None:
        while not app.should_stop:
            await minutes.step()
            await app.sleep(EVERY_SECONDS)


class Minutes:
    """One look at what there is to tell."""

    def __init__(self, database: Database, producer: AIOKafkaProducer, topic: str) -> None:
        # That of the rolling up: what is told must not change meanwhile.
        self._lock = LeaderLock(database, LOCK_NAME)
        self._producer = producer
        # Knows where keys go from one piece and minute to the next.
        self._writer = BatchWriter(producer)
        self._topic = topic

    async def step(self) -> None:
        """Tell all that was rolled up, then all that was corrected."""
        try:
            while await self._lock.run_if_leader(partial(tell_closed, send=self._send, most=AT_ONCE)):
                pass
            while await self._lock.run_if_leader(partial(tell_corrected, send=self._send, most=AT_ONCE)):
                pass
        except PublishError as error:
            self._writer = BatchWriter(self._producer)
            logger.warning("minutes wait for the log: %s", error, extra={"action": "minutes_wait"})

    async def _send(self, minutes: Sequence[Minute]) -> None:
        await publish_many(
            self._writer, self._topic, (OutgoingRecord(minute.ven_id, encode_record(minute)) for minute in minutes)
        )
