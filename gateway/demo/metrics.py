"""The state of the running system, read from Kafka, the database and the API, for the summary of `demo`."""

import asyncio
from dataclasses import dataclass
from typing import Any, Self

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime.database import connect_options
from runtime.kafka import client_options, partition_counts
from schemas.mqtt.routing import Kind
from schemas.records.topics import DEAD_LETTER_SUFFIX, TELEMETRY, TopicNames
from schemas.settings.blocks import DatabaseSettings, KafkaSettings

# PostgreSQL's estimates: counting millions of rows every second would be a load of its own.
ROWS = """
SELECT parent.relname, COALESCE(sum(stat.n_live_tup), 0)::bigint AS rows
FROM pg_inherits JOIN pg_class AS parent ON parent.oid = inhparent JOIN pg_stat_user_tables AS stat ON relid = inhrelid
WHERE parent.relname IN ('telemetry_readings', 'telemetry_loads')
GROUP BY parent.relname
"""


@dataclass(frozen=True, slots=True)
class SystemSnapshot:
    """The state of the system at one time; None where a server did not answer."""

    received: int | None  # records in ven.raw.*
    dead_lettered: int | None
    lag: int | None  # consumer lag of all stream roles together, in records
    readings: int | None
    loads: int | None
    network: dict[str, Any] | None


class SystemMonitor:
    """Reads snapshots of the system; keeps its Kafka connections open between them."""

    def __init__(self, kafka: KafkaSettings, database: DatabaseSettings, api: str) -> None:
        self._kafka = kafka
        self._database = database
        self._api = api
        options = {**client_options(kafka), "client_id": "gateway-demo"}
        self._consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**options)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def read(self) -> SystemSnapshot:
        """Read a snapshot."""
        received, dead, lag = await self._kafka_counts()
        rows = await _rows(self._database)
        return SystemSnapshot(
            received=received,
            dead_lettered=dead,
            lag=lag,
            readings=rows.get("telemetry_readings") if rows is not None else None,
            loads=rows.get("telemetry_loads") if rows is not None else None,
            network=await _network(self._api),
        )

    async def _kafka_counts(self) -> tuple[int | None, int | None, int | None]:
        names = self._kafka.topics
        try:
            async with asyncio.timeout(5):
                counts = await partition_counts(self._admin)
                partitions = [TopicPartition(name, number) for name, _ in names for number in range(counts[name])]
                ends = await self._consumer.end_offsets(partitions)
                starts = await self._consumer.beginning_offsets(partitions)
                lag = await self._lag(names, ends)
        except (KafkaError, OSError, TimeoutError):
            return None, None, None
        raw = {names.raw(kind) for kind in Kind}
        received = sum(end for tp, end in ends.items() if tp.topic in raw)
        dead = sum(end - starts[tp] for tp, end in ends.items() if tp.topic.endswith(DEAD_LETTER_SUFFIX))
        return received, dead, lag

    async def _lag(self, names: TopicNames, ends: dict[TopicPartition, int]) -> int:
        lag = 0
        for role, topic in (
            ("validate", names.raw(Kind.METERING)),
            ("sink", names(TELEMETRY)),
            ("live", names(TELEMETRY)),
        ):
            committed = await self._admin.list_consumer_group_offsets(names(f"gateway-{role}"))
            for tp, end in ends.items():
                if tp.topic == topic:
                    offset = committed.get(tp)
                    lag += end - (offset.offset if offset is not None and offset.offset >= 0 else 0)
        return lag


async def _rows(database: DatabaseSettings) -> dict[str, int] | None:
    try:
        connection = await asyncpg.connect(**connect_options(database, "gateway-demo"))
        try:
            return {row["relname"]: row["rows"] for row in await connection.fetch(ROWS)}
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return None


async def _network(api: str) -> dict[str, Any] | None:
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(f"{api}/api/stats/network")
            return answer.json() if answer.is_success else None
    except httpx.HTTPError:
        return None
