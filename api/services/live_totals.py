"""The latest live totals, read from Kafka into memory, so that a request costs the same for any fleet."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from api.queries.vens import count_vens
from runtime.backoff import Backoff
from runtime.database import DATABASE_ERRORS, Pool
from runtime.kafka import client_options
from runtime.supervision import vital
from schemas.records.network import MAX_CLOCK_DIFFERENCE, NETWORK_SCOPE, NetworkTotals, decode_network_totals
from schemas.records.topics import STATS
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

COUNT_EVERY_SECONDS = 5.0
LAST_RECORDS = 500
"""The records before the end that are read at the start: hundreds may follow the network's last record."""


class LiveTotals:
    """`latest` is None until the first totals are read; `latest.as_of` says how old they are."""

    def __init__(self, kafka: KafkaSettings, pool: Pool) -> None:
        self._kafka = kafka
        self._pool = pool
        self.latest: NetworkTotals | None = None
        self.registered_vens: int | None = None

    def age(self) -> dict[tuple[str, ...], float]:
        """Return the age of the totals in seconds as a metric without labels; empty before the first totals."""
        return {} if self.latest is None else {(): (datetime.now(UTC) - self.latest.as_of).total_seconds()}

    @vital("following the live totals")
    async def run(self) -> None:
        """Follow the totals and the size of the registry, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_totals())
            tasks.create_task(self._count_vens())

    @vital("reading the live totals")
    async def _follow_totals(self) -> None:
        backoff = Backoff()
        while True:
            consumer = AIOKafkaConsumer(**client_options(self._kafka), enable_auto_commit=False)
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, OSError) as error:
                logger.warning("cannot read live totals from Kafka: %s", error, extra={"action": "live_totals_lost"})
                await backoff.wait()
            finally:
                await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partition = TopicPartition(self._kafka.topics(STATS), 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, max(0, end - LAST_RECORDS))
        async for record in consumer:
            if record.key != NETWORK_SCOPE.encode():
                continue  # the totals of one load type; the network's record contains them all
            # Others may write to this topic: skip what is not totals, and totals from the future.
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                totals = decode_network_totals(record.value or b"")
                newest = datetime.now(UTC) + MAX_CLOCK_DIFFERENCE
                if totals.as_of <= newest and (self.latest is None or totals.as_of >= self.latest.as_of):
                    self.latest = totals

    @vital("counting the registry")
    async def _count_vens(self) -> None:
        while True:
            with suppress(*DATABASE_ERRORS):
                self.registered_vens = await count_vens(self._pool)
            await asyncio.sleep(COUNT_EVERY_SECONDS)
