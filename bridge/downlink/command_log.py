"""The topic ven.command-log as the bridges use it: each claims a command there before it sends it.

The bridge whose claim is first in the partition sends the command. So no bridge depends on the consumer group, which
cannot tell a bridge that stood still for a minute that another has taken over, or on memory that a crash erases.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from bridge.downlink.command_index import CommandIndex
from runtime.backoff import Backoff
from runtime.kafka import client_options, enqueue
from runtime.supervision import vital
from schemas.records.commands import CommandRecord, DeliveryEvidence, DeliveryState, decode_delivery_evidence
from schemas.records.telemetry import encode_record
from schemas.records.topics import COMMAND_LOG
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

HEADER_RUN = "bridge-run"
"""Identifies the run of the bridge that wrote a record."""

_PRUNE_SECONDS = 60.0
_FETCH_MS = 250


class CommandLog:
    """Writes evidence to the topic and reads what all bridges write; `index` has what was read so far."""

    def __init__(self, kafka: KafkaSettings, producer: AIOKafkaProducer) -> None:
        self._kafka = kafka
        self._producer = producer
        self._topic = kafka.topics(COMMAND_LOG)
        self._run = uuid4().hex.encode()
        self.index = CommandIndex()
        self._claims: dict[tuple[str, int], asyncio.Future[bool]] = {}
        self._sent: dict[str, asyncio.Future[None]] = {}
        self._outbox: deque[tuple[DeliveryEvidence, asyncio.Future[None]]] = deque()
        self._added = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._advanced = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @vital("the command log")
    async def run(self) -> None:
        """Write and read, for ever; waits while Kafka is unavailable.

        Raises:
            KafkaError: Kafka refuses a record for good.
        """
        running = [asyncio.ensure_future(each) for each in (self._write(), self._follow(), self._prune())]
        try:
            await asyncio.wait({*running, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for outcome in (*running, self._failed):
                if outcome.done():
                    outcome.result()
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def claim(self, command: CommandRecord) -> "asyncio.Future[bool]":
        """Record that a command is about to be sent; the future's result is whether this bridge may send it."""
        claim = self._claims[command.correlation_id, command.attempt] = asyncio.get_running_loop().create_future()
        self._append(_evidence(command, "sending"))
        return claim

    def record_expired(self, command: CommandRecord, reason: str) -> "asyncio.Future[None]":
        """Record that a command was not sent; the future is done when Kafka has the record."""
        return self._append(_evidence(command, "expired", reason))

    def record_sent(self, correlation_id: str, reason: str | None = None) -> "asyncio.Future[None] | None":
        """Record that the MQTT broker has a command; the future is done when Kafka has the record.

        None if the log says so already, or has no claim of the command.
        """
        status = self.index.get(correlation_id)
        if status is None or status.state == "sent":
            return None
        stored = self._sent.get(correlation_id)
        if stored is None:
            evidence = DeliveryEvidence(
                correlation_id=correlation_id,
                ven_id=status.ven_id,
                attempt=status.attempt,
                state="sent",
                at=datetime.now(UTC),
                reason=reason,
                expires_at=status.expires_at,
            )
            stored = self._sent[correlation_id] = self._append(evidence)
        return stored

    def is_sent(self, correlation_id: str) -> bool:
        """Whether the MQTT broker certainly has a command, even if Kafka does not have the record of it yet."""
        status = self.index.get(correlation_id)
        return correlation_id in self._sent or (status is not None and status.state == "sent")

    async def catch_up(self) -> None:
        """Wait until the index has everything that the topic contains now; waits while Kafka is unavailable."""
        backoff = Backoff(max_seconds=2)
        while True:
            consumer = self._consumer
            if consumer is not None:
                with suppress(KafkaError):
                    partitions = list(consumer.assignment())
                    ends = await consumer.end_offsets(partitions)
                    while consumer is self._consumer:
                        if partitions and all(self._positions.get(tp, -1) >= end for tp, end in ends.items()):
                            return
                        self._advanced.clear()
                        await self._advanced.wait()
                    continue
            await backoff.wait()

    def _append(self, evidence: DeliveryEvidence) -> "asyncio.Future[None]":
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.append((evidence, stored))
        self._added.set()
        return stored

    async def _write(self) -> None:
        while True:
            while self._outbox:
                evidence, stored = self._outbox.popleft()
                (await self._send(evidence)).add_done_callback(partial(self._on_written, evidence, stored))
            self._added.clear()
            await self._added.wait()

    async def _send(self, evidence: DeliveryEvidence) -> "asyncio.Future[Any]":
        key, headers = evidence.correlation_id.encode(), [(HEADER_RUN, self._run)]
        return await enqueue(self._producer, self._topic, encode_record(evidence), key=key, headers=headers)

    def _on_written(
        self, evidence: DeliveryEvidence, stored: "asyncio.Future[None]", written: "asyncio.Future[Any]"
    ) -> None:
        if written.cancelled():
            return
        error = written.exception()
        if error is not None:
            if not self._failed.done():
                self._failed.set_exception(error)
            return
        if evidence.state == "sent":
            self.index.apply(evidence, written_here=True)
            self._sent.pop(evidence.correlation_id, None)
        if not stored.done():
            stored.set_result(None)

    async def _follow(self) -> None:
        backoff = Backoff(max_seconds=5)
        while True:
            consumer = AIOKafkaConsumer(
                self._topic,
                **client_options(self._kafka),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=_FETCH_MS,
            )
            try:
                await consumer.start()
                await self._read(consumer, backoff)
            except (KafkaError, OSError) as error:
                logger.warning("cannot read %s: %s", self._topic, error, extra={"action": "command_log_read_failed"})
                await backoff.wait()
            finally:
                self._consumer = None
                self._advanced.set()
                await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer, backoff: Backoff) -> None:
        for tp in consumer.assignment():
            if tp in self._positions:
                consumer.seek(tp, self._positions[tp])
        self._consumer = consumer
        while True:
            for records in (await consumer.getmany(timeout_ms=_FETCH_MS)).values():
                for record in records:
                    self._apply(record)
            backoff.reset()
            # By position, not by the last record: compaction leaves gaps, also at the end.
            for tp in consumer.assignment():
                self._positions[tp] = await consumer.position(tp)
            self._advanced.set()

    def _apply(self, record: Any) -> None:
        try:
            evidence = decode_delivery_evidence(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # from another writer
        written_here = dict(record.headers).get(HEADER_RUN) == self._run
        if evidence.expires_at is None:
            # Not from a bridge: it counts as long as its command may be in Kafka.
            retention = timedelta(hours=self._kafka.kafka_retention_hours)
            evidence = msgspec.structs.replace(evidence, expires_at=datetime.now(UTC) + retention)
        self.index.apply(evidence, written_here=written_here)
        if written_here and evidence.state == "sending":
            claim = self._claims.pop((evidence.correlation_id, evidence.attempt), None)
            if claim is not None and not claim.done():
                claim.set_result(self.index.may_send(evidence.correlation_id, evidence.attempt))

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_SECONDS)
            self.index.prune(datetime.now(UTC))


def _evidence(command: CommandRecord, state: DeliveryState, reason: str | None = None) -> DeliveryEvidence:
    return DeliveryEvidence(
        correlation_id=command.correlation_id,
        ven_id=command.ven_id,
        attempt=command.attempt,
        state=state,
        at=datetime.now(UTC),
        reason=reason,
        expires_at=command.expires_at,
    )
