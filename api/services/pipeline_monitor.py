"""How the pipeline goes, asked now and then, so that a request costs nothing."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from api.http.problems import OUTAGES
from api.queries.pipeline import fetch_ages
from runtime.backoff import Backoff
from runtime.database import Pool
from runtime.kafka import client_options, partition_counts
from schemas.mqtt.routing import Kind
from schemas.rest.pipeline import PipelineStats, RoleBacklog
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
ROLES = ("validate", "sink", "live")
"""The stream roles; their consumer groups are called gateway-<role>."""

DOWNLINK = "downlink"
"""The bridge's reading of commands; the page does not count it, for it says how far commands are."""

Offsets = Mapping[TopicPartition, int]


class PipelineMonitor:
    """`latest` is None until there was a first look."""

    def __init__(self, kafka: KafkaSettings, pool: Pool) -> None:
        self._kafka = kafka
        self._pool = pool
        self._received: tuple[float, int] | None = None
        self.latest: PipelineStats | None = None
        self.lag: dict[tuple[str, ...], float] = {}

    def newest_reading_age(self) -> dict[tuple[str, ...], float]:
        """Return how many seconds ago the newest reading that is stored was received, by ()."""
        newest = None if self.latest is None else self.latest.newest_reading_at
        return {} if newest is None else {(): (datetime.now(UTC) - newest).total_seconds()}

    async def follow(self) -> None:
        """Look, for ever; while the log is away, only at the database."""
        backoff = Backoff()
        while True:
            try:
                async with AsyncExitStack() as stack:
                    options = {**client_options(self._kafka), "client_id": "gateway-api-pipeline"}
                    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
                    stack.push_async_callback(consumer.stop)
                    await consumer.start()
                    admin = AIOKafkaAdminClient(**options)
                    stack.push_async_callback(admin.close)
                    await admin.start()
                    while True:
                        await self._poll(consumer, admin)
                        backoff.reset()
                        await asyncio.sleep(EVERY_SECONDS)
            except (KafkaError, OSError) as error:
                logger.warning("no figures of the log: %s", error, extra={"action": "pipeline_lost"})
                self._received = None
                self.lag = {}
                await self._tell(None, {})
                await backoff.wait()

    async def _poll(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        names = self._kafka.topics
        known = {name for name, _ in names}
        counts = await partition_counts(admin)
        partitions = [TopicPartition(name, number) for name in known & counts.keys() for number in range(counts[name])]
        begins: Offsets = await consumer.beginning_offsets(partitions)
        # What has been processed before what there is: nobody is ahead of the log.
        done: dict[str, Offsets] = {}
        for role in (*ROLES, DOWNLINK):
            offsets: Any = {}
            # A log that was just started has had no group yet.
            with suppress(GroupCoordinatorNotAvailableError):
                offsets = await admin.list_consumer_group_offsets(names(f"gateway-{role}"))
            committed = {tp: at.offset for tp, at in offsets.items() if at.offset >= 0}
            read = {tp.topic for tp in committed}
            # What it has never committed of a topic that it reads, it has before it from the beginning.
            done[role] = {tp: committed.get(tp, begins[tp]) for tp in partitions if tp.topic in read}
        ends: Offsets = await consumer.end_offsets(partitions)
        waiting = {role: {tp: max(0, ends[tp] - offset) for tp, offset in done[role].items()} for role in done}
        self.lag = {
            (role, tp.topic, str(tp.partition)): records for role in waiting for tp, records in waiting[role].items()
        }
        raw = {names.raw(kind) for kind in Kind}
        rate = self._rate(sum(end for tp, end in ends.items() if tp.topic in raw))
        await self._tell(rate, {role: sum(waiting[role].values()) for role in ROLES if waiting[role]})

    def _rate(self, received: int) -> float | None:
        now = time.monotonic()
        before, self._received = self._received, (now, received)
        return None if before is None else max(0, received - before[1]) / (now - before[0])

    async def _tell(self, rate: float | None, waiting: Mapping[str, int]) -> None:
        newest, letters = None, None
        with suppress(*OUTAGES, asyncpg.PostgresError):
            newest, letters = await fetch_ages(self._pool)
        self.latest = PipelineStats(
            messages_per_second=rate,
            waiting=[RoleBacklog(role=role, records=waiting.get(role)) for role in ROLES],
            newest_reading_at=newest,
            dead_letters_last_hour=letters,
            as_of=datetime.now(UTC),
        )
