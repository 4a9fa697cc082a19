"""The Kafka producer that all processes use, and the creation of the topics."""

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
"""The bridge truncates larger MQTT payloads."""

# A record has room for the payload and for the MQTT topic (64 KiB) in a header; a dead letter also for its headers.
MAX_RECORD_BYTES = 1_310_720
_MAX_DEAD_LETTER_BYTES = 1_441_792
_STOP_SECONDS = 5
_COMPACTED_SEGMENT_MS = 3_600_000


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of every Kafka client; raises SettingsError if a file for TLS cannot be used."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "request_timeout_ms": round(settings.kafka_timeout * 1000),
        **security_options(settings),
    }


@asynccontextmanager
async def producer(settings: KafkaSettings, client_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open an idempotent producer that waits for all replicas. Waits while Kafka is down."""
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
        # stop() flushes, which never ends while Kafka is down. Records that are dropped here were not acknowledged.
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await client.stop()


async def enqueue(client: AIOKafkaProducer, topic: str, value: bytes | None, **record: Any) -> "asyncio.Future[Any]":
    """Pass a record (key, headers, partition) to the producer. Waits while its buffer is full and Kafka is down.

    Returns the future of Kafka's acknowledgement.
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
    """Create the missing topics; existing ones stay unchanged. Waits while Kafka is down."""
    client = AIOKafkaAdminClient(**client_options(settings))
    await _start(client, settings)
    try:
        existing = await partition_counts(client)
        missing = [_new_topic(name, topic, settings) for name, topic in settings.topics if name not in existing]
        if missing:
            _raise_errors(await client.create_topics(missing, timeout_ms=30_000))
            existing = await _wait_for_leaders(client, [topic.name for topic in missing])
        return TopicsReport(frozenset(topic.name for topic in missing), existing)
    finally:
        await client.close()


async def _wait_for_leaders(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Wait until all partitions of new topics have a leader, which takes a moment."""
    backoff = Backoff(max_seconds=1)
    while True:
        described = {topic["topic"]: topic["partitions"] for topic in await client.describe_topics()}
        if all(name in described and all(part["leader"] >= 0 for part in described[name]) for name in names):
            return {name: len(partitions) for name, partitions in described.items()}
        await backoff.wait()


async def partition_counts(client: AIOKafkaAdminClient) -> dict[str, int]:
    """Return the number of partitions of each topic."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await client.describe_topics()}


def _raise_errors(response: Any) -> None:
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        # Another process may have created it at the same time.
        if error is not None and code and error is not TopicAlreadyExistsError:
            raise error(f"could not create topic {name}: {message}")


def _new_topic(name: str, topic: Topic, settings: KafkaSettings) -> NewTopic:
    largest = _MAX_DEAD_LETTER_BYTES if topic.name.endswith(DEAD_LETTER_SUFFIX) else MAX_RECORD_BYTES
    configs = {
        "cleanup.policy": topic.cleanup,
        "max.message.bytes": str(largest),
        # So acks="all" never means the leader alone.
        "min.insync.replicas": str(max(1, settings.kafka_replication - 1)),
    }
    if "compact" in topic.cleanup:
        # Kafka does not compact the active segment, and every start reads all of it. By default it lasts a week.
        configs["segment.ms"] = str(_COMPACTED_SEGMENT_MS)
    if "delete" in topic.cleanup:
        configs["retention.ms"] = str(settings.kafka_retention_hours * 3_600_000)
    partitions = topic.partitions or settings.kafka_partitions
    return NewTopic(name, partitions, settings.kafka_replication, topic_configs=configs)


async def _start(client: AIOKafkaProducer | AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    """Wait until Kafka answers; raises SettingsError if it refuses our certificate or login."""
    backoff = Backoff(max_seconds=5)
    while True:
        try:
            await client.start()
        except KafkaConnectionError:
            if refusal := await diagnose_kafka_access(settings):
                raise SettingsError(refusal) from None
            logger.warning(
                "Kafka does not answer at %s; check KAFKA_BOOTSTRAP_SERVERS, and that Kafka runs",
                settings.kafka_bootstrap_servers,
                extra={"action": "kafka_unreachable"},
            )
            await backoff.wait()
        else:
            return
