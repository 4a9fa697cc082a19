"""Live totals while workers are killed, restarted, join and leave: they neither dip nor jump."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gateway.local.worker import Worker
from gateway.stack import LocalStack
from gateway.stack.child_guard import Guard
from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from schemas.records.network import Heartbeat
from schemas.records.telemetry import Load, Reading, encode_record
from schemas.records.topics import HEARTBEATS, TELEMETRY
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.kafka_records import Writer, writer
from tests.support.rest import api
from tests.support.servers import Topics

PARTITIONS = 4
VENS = 40
INTERVAL = 1.0
WAIT = 60
LOADS = (Load("hvac", type="hvac", capacity_kw=7.0, current_power_kw=2.0, shed_capability_kw=1.5),)


@dataclass
class PublishedReadings:
    """What the fleet published: in round n every VEN reports n kW, all at one time."""

    rounds: list[datetime] = field(default_factory=list)

    def min_usage(self, as_of: datetime) -> float:
        """The usage at a time, without the last report interval."""
        return VENS * max(0, sum(1 for moment in self.rounds if moment <= as_of) - 1)

    @property
    def max_usage(self) -> float:
        return VENS * len(self.rounds)


async def publish(log: Writer, kafka: KafkaSettings, published: PublishedReadings) -> None:
    """Publish rounds for ever, each followed by heartbeats."""
    while True:
        now = datetime.now(UTC)
        published.rounds.append(now)
        used = float(len(published.rounds))
        for partition in range(PARTITIONS):
            # Loads in the first round only: workers that start later must know them too.
            records = [
                encode_record(
                    Reading(
                        ven_id=f"ven-{ven}",
                        timestamp=now,
                        received_at=now,
                        used_power_kw=used,
                        loads=LOADS if len(published.rounds) == 1 else None,
                    )
                )
                for ven in range(partition, VENS, PARTITIONS)
            ]
            await log.together(kafka.topics(TELEMETRY), records, partition)
            await log.one(kafka.topics(HEARTBEATS), encode_record(Heartbeat(now)), partition)
        await asyncio.sleep(INTERVAL)


class TotalsChecker:
    """Requests the totals every 100 ms and collects impossible ones."""

    def __init__(self, client: httpx.AsyncClient, published: PublishedReadings) -> None:
        self._client = client
        self._published = published
        self.errors: list[str] = []
        self.count = 0
        self.as_of = datetime.min.replace(tzinfo=UTC)
        self.oldest = timedelta(0)

    async def run(self) -> None:
        before = 0.0
        while True:
            answer = await self._client.get("/api/stats/network")
            stats = answer.json()
            # Starts once all VENs have reported their loads.
            if answer.is_success and (self.count or stats["potentialLoadReductionKw"] == 1.5 * VENS):
                self.count += 1
                self.as_of = datetime.fromisoformat(stats["asOf"])
                self.oldest = max(self.oldest, datetime.now(UTC) - self.as_of)
                usage = stats["householdUsageKw"]
                min_usage, max_usage = self._published.min_usage(self.as_of), self._published.max_usage
                right = stats["onlineVens"] == VENS and stats["potentialLoadReductionKw"] == 1.5 * VENS
                if not (right and max(min_usage, before) <= usage <= max_usage):
                    self.errors.append(f"{stats} is not from {max(min_usage, before)} to {max_usage} kW")
                before = usage
            await asyncio.sleep(0.1)

    async def wait_for_new_totals(self) -> None:
        """Wait until the totals are of a time after now."""
        now = datetime.now(UTC)
        assert await wait_until(lambda: self.as_of > now, WAIT), "the totals do not go on"


@asynccontextmanager
async def workers(stack: LocalStack, kafka: KafkaSettings, folder: Path) -> AsyncIterator[list[Worker]]:
    """Two workers of the role; the first keeps its name through restarts. Nothing is started yet."""
    guard = Guard()
    ports = reserve_ports(folder / "ports.json", ["one", "two"])
    both = [
        Worker(
            f"live-{name}",
            ("streams", "live"),
            env={
                **stack.environment(),
                "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
                "KAFKA_PARTITIONS": str(PARTITIONS),
                "STREAMS_SESSION_TIMEOUT": "6",
                # So that the last minute of the log is the last ten seconds.
                "OFFLINE_AFTER_SECONDS": "10",
                "STREAMS_INSTANCE_ID": "live-one" if name == "one" else "",
                "STREAMS_HEALTH_PORT": str(port),
            },
            log=folder / f"live-{name}.log",
            guard=guard,
            health=f"http://127.0.0.1:{port}",
        )
        for name, port in ports.items()
    ]
    try:
        yield both
    finally:
        for worker in both:
            await worker.stop()
        await guard.close()


@pytest.mark.timeout(400)
async def test_totals_stay_exact_while_workers_come_and_go(
    stack: LocalStack, topics: Topics, database: DatabaseSettings, tmp_path: Path
) -> None:
    kafka = await topics.fresh(partitions=PARTITIONS)
    published = PublishedReadings()
    async with (
        writer(kafka) as log,
        api(database, kafka) as client,
        workers(stack, kafka, tmp_path) as (first, second),
        asyncio.TaskGroup() as tasks,
    ):
        checker = TotalsChecker(client, published)
        running = [tasks.create_task(publish(log, kafka, published)), tasks.create_task(checker.run())]
        await first.start()
        assert await wait_until(lambda: checker.count > 0, 2 * WAIT)
        for _ in range(5):
            await checker.wait_for_new_totals()
            await first.process.kill()
        await checker.wait_for_new_totals()
        # One more joins, and is lost without a word.
        await second.start()
        assert await wait_until(second.ready, WAIT)
        await checker.wait_for_new_totals()
        await second.process.kill()
        await checker.wait_for_new_totals()
        for task in running:
            task.cancel()
    assert not checker.errors, (len(checker.errors), checker.count, checker.errors[:3])
    assert checker.count > 100
    # Old they may be while nobody adds up, and they say so.
    assert checker.oldest < timedelta(seconds=WAIT)
