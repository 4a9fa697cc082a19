"""The log's client side: the producer that all processes use, and the topics of the registry."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from runtime.backoff import Backoff
from runtime.kafka_security import diagnose_kafka_access, security_options
from runtime.kafka_tasks import declare_kafka_tasks
from schemas.records.topics import DEAD_LETTER_SUFFIX, Topic
from schemas.settings.blocks import KafkaSettings, SettingsError

logger = logging.getLogger(__name__)

declare_kafka_tasks()

MAX_PAYLOAD_BYTES = 1_000_000
"""The largest value that the bridge puts in the log whole; what is larger is kept in part."""

# Above the payload there is room for the MQTT topic (64 KiB) in a header, and above that for what a dead letter adds.
MAX_RECORD_BYTES = 1_310_720
_MAX_DEAD_LETTER_BYTES = 1_441_792
_STOP_SECONDS = 5
_COMPACTED_AFTER_MS = 3_600_000


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every client of the log is told; raises SettingsError where a file for TLS cannot be used."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "request_timeout_ms": round(settings.kafka_timeout * 1000),
        **security_options(settings),
    }


@asynccontextmanager
async def producer(settings: KafkaSettings, client_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open an idempotent producer that waits for all replicas; waits for the log while it is down."""
    client = AIOKafkaProducer(
        **client_options(settings),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=131_072,
        max_request_size=_MAX_DEAD_LETTER_BYTES,
    )
    try:
        await _start(client, settings)
        yield client
    finally:
        # Stopping flushes, and while the log is away that takes for ever. What is dropped was not acknowledged.
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await client.stop()


async def enqueue(client: AIOKafkaProducer, topic: str, value: bytes | None, **record: Any) -> "asyncio.Future[Any]":
    """Hand a record (key, headers, partition) to the producer; waits while the log is away and the buffer is full.

    The result is the log's word on it.
    """
    while True:
        try:
            written: asyncio.Future[Any] = await client.send(topic, value, **record)
        except KafkaTimeoutError:
            continue
        return written


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """What `ensure_topics` created, and how many partitions each topic has now."""

    created: frozenset[str]
    partitions: Mapping[str, int]


async def ensure_topics(settings: KafkaSettings) -> TopicsReport:
    """Create what is missing of the registry; what exists is left as it is. Waits for the log while it is down."""
    client = AIOKafkaAdminClient(**client_options(settings))
    await _start(client, settings)
    try:
        existing = await partition_counts(client)
        missing = [_new_topic(name, topic, settings) for name, topic in settings.topics if name not in existing]
        if missing:
            _raise_errors(await client.create_topics(missing, timeout_ms=30_000))
            existing = await _when_all_lead(client, [topic.name for topic in missing])
        return TopicsReport(frozenset(topic.name for topic in missing), existing)
    finally:
        await client.close()


async def _when_all_lead(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Wait until topics that were just created can be used: the brokers learn of them a moment later."""
    backoff = Backoff(max_seconds=1)
    while True:
        described = {topic["topic"]: topic["partitions"] for topic in await client.describe_topics()}
        if all(name in described and all(part["leader"] >= 0 for part in described[name]) for name in names):
            return {name: len(partitions) for name, partitions in described.items()}
        await backoff.wait()


async def partition_counts(client: AIOKafkaAdminClient) -> dict[str, int]:
    """Return how many partitions each topic of the log has."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await client.describe_topics()}


def _raise_errors(response: Any) -> None:
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        # Another process may have been quicker.
        if error is not None and code and error is not TopicAlreadyExistsError:
            raise error(f"could not create topic {name}: {message}")


def _new_topic(name: str, topic: Topic, settings: KafkaSettings) -> NewTopic:
    largest = _MAX_DEAD_LETTER_BYTES if topic.name.endswith(DEAD_LETTER_SUFFIX) else MAX_RECORD_BYTES
    configs = {
        "cleanup.policy": topic.cleanup,
        "max.message.bytes": str(largest),
        # With it, "all replicas" is never the leader alone.
        "min.insync.replicas": str(max(1, settings.kafka_replication - 1)),
    }
    if "compact" in topic.cleanup:
        # What is written to is not compacted; by default it is for a week, and whoever starts reads all of it.
        configs["segment.ms"] = str(_COMPACTED_AFTER_MS)
    if "delete" in topic.cleanup:
        configs["retention.ms"] = str(settings.kafka_retention_hours * 3_600_000)
    partitions = topic.partitions or settings.kafka_partitions
    return NewTopic(name, partitions, settings.kafka_replication, topic_configs=configs)


async def _start(client: AIOKafkaProducer | AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    """Wait for the log; raises SettingsError where it is there and does not let us in."""
    backoff = Backoff(max_seconds=5)
    while True:
        try:
            await client.start()
        except KafkaConnectionError:
            refused = await diagnose_kafka_access(settings)
            if refused is not None:
                raise SettingsError(refused) from None
            logger.warning(
                "the log does not answer at %s; check KAFKA_BOOTSTRAP_SERVERS, and that it runs",
                settings.kafka_bootstrap_servers,
                extra={"action": "kafka_unreachable"},
            )
            await backoff.wait()
        else:
            return
