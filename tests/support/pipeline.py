"""The path of a message from its raw topic to its rows, driven step by step by a test, on a real Kafka."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from runtime.database import Connection
from runtime.kafka import producer
from schemas.base.time_window import TimeWindow
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import decode_ack
from schemas.records import topics
from schemas.records.telemetry import decode_reading
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.dead_letters.replay_outbox_source import replay_source
from streams.dead_letters.store import DeadLetterStore
from streams.engine.batch import Batch
from streams.engine.batch_producer import BatchProducer
from streams.outbox.publisher import OutboxPublisher
from streams.sink.sink import Sink, Store
from streams.validate.clock_skew import ClockSkews
from streams.validate.heartbeats import heartbeat_of
from streams.validate.power_limits import PowerLimits
from streams.validate.validator import Validator
from tests.support.readings import Stores, stores
from tests.support.servers import connection

WINDOW = TimeWindow(90, timedelta(minutes=5))
KINDS = (Kind.METERING, Kind.ACKS)

REQUEST = """
WITH asked AS (
    UPDATE dead_letters SET state = 'requested', state_at = now(), replays = replays + 1, corrected_payload = $2
    WHERE id = $1 RETURNING id, time
)
INSERT INTO outbox (kind, key, time) SELECT 'replay', id, time FROM asked
"""


class Pipeline:
    """`validate` and `sink` for readings and acks, without Faust: they process what Kafka holds when a test calls."""

    def __init__(
        self, kafka: KafkaSettings, log: AIOKafkaProducer, consumer: AIOKafkaConsumer, store: Stores, rows: Connection
    ) -> None:
        self.kafka = kafka
        self.log = log
        self.rows = rows
        self.letters = DeadLetterStore(store.database, store.partitions, WINDOW)
        self._consumer = consumer
        self._store = store
        names = kafka.topics
        limits, skews = PowerLimits(1000), ClockSkews()
        self._validators = {
            names.raw(kind): Validator(kind, WINDOW, limits, skews, self._batch_producer(), names) for kind in KINDS
        }
        self._sinks = {
            names(topics.TELEMETRY): self._sink(decode_reading, store.readings),
            names(topics.ACKS): self._sink(decode_ack, store.acks),
        }

    def _batch_producer(self) -> BatchProducer:
        return BatchProducer(self.log, self.kafka.topics)

    def _sink(self, decode: Callable[[bytes], Any], store: Store) -> Sink:
        return Sink(self._batch_producer, decode, store, WINDOW)

    @property
    def followed(self) -> list[str]:
        sources = [*self._validators, *self._sinks]
        return [*sources, *map(self.kafka.topics.dead_letters, sources)]

    async def receive(self, received_at: datetime, *payloads: dict[str, Any] | bytes, **fields: Any) -> None:
        """Write metering samples to the raw topic, as the bridge does, and process them."""
        for payload in payloads or (fields,):
            value = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
            headers = [
                (topics.HEADER_TOPIC, b"volttron/metering"),
                (topics.HEADER_RECEIVED, b"%d" % round(received_at.timestamp() * 1000)),
                (topics.HEADER_RETAIN, b"0"),
            ]
            await self.send(self.kafka.topics.raw(Kind.METERING), value, headers)
        await self.settle()

    async def send(self, topic: str, value: bytes | None, headers: Any = None, **more: Any) -> None:
        await self.log.send_and_wait(topic, value, **{"key": b"ven-1", "headers": headers, **more})

    async def settle(self) -> None:
        """Process all records, also those that processing produces."""
        partitions = self._consumer.assignment()
        while True:
            await self.log.flush()
            ends = await self._consumer.end_offsets(partitions)
            if all([await self._consumer.position(tp) >= end for tp, end in ends.items()]):
                return
            for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                await self._take(tp, records)

    async def _take(self, tp: TopicPartition, records: list[Any]) -> None:
        if tp.topic in self._validators:
            now = datetime.now(UTC)
            for record in records:
                if heartbeat_of(record, now) is None:
                    self._validators[tp.topic].validate(record, now)
            await self._validators[tp.topic].flush()
        elif tp.topic in self._sinks:
            await self._sinks[tp.topic].process([Batch(TP(tp.topic, tp.partition), records)])
        else:
            await self.letters.store(records)

    async def index(self) -> list[dict[str, Any]]:
        """Return all rows of the table `dead_letters`."""
        return [dict(row) for row in await self.rows.fetch("SELECT * FROM dead_letters ORDER BY time, detail")]

    async def request(self, dead_letter_id: str, corrected_payload: bytes | None = None) -> None:
        """Request a replay, as operators do."""
        await self.rows.execute(REQUEST, dead_letter_id, corrected_payload)

    async def replay(self) -> int:
        """Publish the replays that were requested, by a process of its own; returns how many."""
        return await OutboxPublisher(self._store.database, self.log, replay_source()).publish_pending()


@asynccontextmanager
async def pipeline(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Pipeline]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.kafka_bootstrap_servers, enable_auto_commit=False)
    async with connection(database) as rows, producer(kafka, "test") as log, stores(database) as store, consumer:
        opened = Pipeline(kafka, log, consumer, store, rows)
        partitions = [
            TopicPartition(name, number)
            for name, topic in kafka.topics
            if name in opened.followed
            for number in range(topic.partitions or kafka.kafka_partitions)
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        yield opened
