"""Polls the state of the pipeline in the background, so that a request costs nothing."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from api.queries.pipeline import fetch_freshness
from runtime.backoff import Backoff
from runtime.database import DATABASE_ERRORS, Pool
from runtime.kafka import client_options, partition_counts
from schemas.mqtt.routing import Kind
from schemas.rest.pipeline import PipelineStats, RoleBacklog
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
ROLES = ("validate", "sink", "live")
"""The stream roles; their consumer groups are called gateway-<role>."""

DOWNLINK = "downlink"
"""The bridge's consumer group of commands. It has a metric, but REST and the page do not show it."""

Offsets = Mapping[TopicPartition, int]


class PipelineMonitor:
    """`latest` is None until the first poll."""

    def __init__(self, kafka: KafkaSettings, pool: Pool) -> None:
        self._kafka = kafka
        self._pool = pool
        self._received: tuple[float, int] | None = None
        self.latest: PipelineStats | None = None
        self.lag: dict[tuple[str, ...], float] = {}
        """Consumer lag by (role, topic, partition)."""

    def newest_reading_age(self) -> dict[tuple[str, ...], float]:
        """Return the seconds since the newest stored reading was received, as a metric without labels."""
        newest = None if self.latest is None else self.latest.newest_reading_at
        return {} if newest is None else {(): (datetime.now(UTC) - newest).total_seconds()}

    async def run(self) -> None:
        """Poll for ever; while Kafka is down, only the database."""
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
                logger.warning(
                    "cannot poll offsets from Kafka: %s", error, extra={"action": "pipeline_monitor_disconnected"}
                )
                self._received = None
                self.lag = {}
                await self._update(None, {})
                await backoff.wait()

    async def _poll(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        names = self._kafka.topics
        known = {name for name, _ in names}
        counts = await partition_counts(admin)
        partitions = [TopicPartition(name, number) for name in known & counts.keys() for number in range(counts[name])]
        begins: Offsets = await consumer.beginning_offsets(partitions)
        # Committed offsets are read before the ends of the partitions, so that no lag is negative.
        committed_by_role: dict[str, Offsets] = {}
        for role in (*ROLES, DOWNLINK):
            offsets: Any = {}
            # A new Kafka cluster has no consumer groups yet.
            with suppress(GroupCoordinatorNotAvailableError):
                offsets = await admin.list_consumer_group_offsets(names(f"gateway-{role}"))
            committed = {tp: at.offset for tp, at in offsets.items() if at.offset >= 0}
            topics = {tp.topic for tp in committed}
            # A partition without a commit, of a topic that the role reads, is unread from its beginning.
            committed_by_role[role] = {tp: committed.get(tp, begins[tp]) for tp in partitions if tp.topic in topics}
        ends: Offsets = await consumer.end_offsets(partitions)
        lags = {
            role: {tp: max(0, ends[tp] - offset) for tp, offset in committed.items()}
            for role, committed in committed_by_role.items()
        }
        self.lag = {
            (role, tp.topic, str(tp.partition)): lag for role, by_tp in lags.items() for tp, lag in by_tp.items()
        }
        raw = {names.raw(kind) for kind in Kind}
        rate = self._rate(sum(end for tp, end in ends.items() if tp.topic in raw))
        await self._update(rate, {role: sum(lags[role].values()) for role in ROLES if lags[role]})

    def _rate(self, received: int) -> float | None:
        now = time.monotonic()
        before, self._received = self._received, (now, received)
        return None if before is None else max(0, received - before[1]) / (now - before[0])

    async def _update(self, rate: float | None, backlog: Mapping[str, int]) -> None:
        newest_reading_at, dead_letters = None, None
        with suppress(*DATABASE_ERRORS):
            newest_reading_at, dead_letters = await fetch_freshness(self._pool)
        self.latest = PipelineStats(
            messages_per_second=rate,
            waiting=[RoleBacklog(role=role, records=backlog.get(role)) for role in ROLES],
            newest_reading_at=newest_reading_at,
            dead_letters_last_hour=dead_letters,
            as_of=datetime.now(UTC),
        )
