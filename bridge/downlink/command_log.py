"""ven.command-log as the bridges use it: each notes there what it is about to send, and the first to do so may.

The log's order is the only judge, so it needs neither the consumer group, which cannot tell a bridge that stood still
for a minute that another has taken over, nor memory that survives a crash.
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
"""Names the run of a bridge that wrote the evidence."""

_FORGET_EVERY_SECONDS = 60.0
_LOOK_MS = 250


class CommandLog:
    """Writes evidence and follows what all bridges write; `known` is what can be read there by now."""

    def __init__(self, kafka: KafkaSettings, producer: AIOKafkaProducer) -> None:
        self._kafka = kafka
        self._producer = producer
        self._topic = kafka.topics(COMMAND_LOG)
        self._run = uuid4().hex.encode()
        self.known = CommandIndex()
        self._claims: dict[tuple[str, int], asyncio.Future[bool]] = {}
        self._proofs: dict[str, asyncio.Future[None]] = {}
        self._notes: deque[tuple[DeliveryEvidence, asyncio.Future[None]]] = deque()
        self._noted = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._read: dict[TopicPartition, int] = {}
        self._moved = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @vital("the command log")
    async def run(self) -> None:
        """Write and follow, for ever; an outage is waited out.

        Raises:
            KafkaError: the log refused evidence for good.
        """
        running = [asyncio.ensure_future(each) for each in (self._write(), self._follow(), self._forget())]
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
        """Note that a command is about to be sent; the result is whether it may be, once the log has told."""
        claim = self._claims[command.correlation_id, command.attempt] = asyncio.get_running_loop().create_future()
        self._note(_evidence(command, "sending"))
        return claim

    def expired(self, command: CommandRecord, reason: str) -> "asyncio.Future[None]":
        """Note that a command was not sent; done when the log has it."""
        return self._note(_evidence(command, "expired", reason))

    def sent(self, correlation_id: str, reason: str | None = None) -> "asyncio.Future[None] | None":
        """Note that the MQTT broker has a command; done when the log has it.

        None where that is in the log already, or the command is not.
        """
        known = self.known.get(correlation_id)
        if known is None or known.state == "sent":
            return None
        proof = self._proofs.get(correlation_id)
        if proof is None:
            evidence = DeliveryEvidence(
                correlation_id=correlation_id,
                ven_id=known.ven_id,
                attempt=known.attempt,
                state="sent",
                at=datetime.now(UTC),
                reason=reason,
                expires_at=known.expires_at,
            )
            proof = self._proofs[correlation_id] = self._note(evidence)
        return proof

    def is_sent(self, correlation_id: str) -> bool:
        """Whether something shows that the MQTT broker has it, be it in the log yet or not."""
        known = self.known.get(correlation_id)
        return correlation_id in self._proofs or (known is not None and known.state == "sent")

    async def caught_up(self) -> None:
        """Wait until all is known that the log holds now; waits for the log while it is down."""
        backoff = Backoff(max_seconds=2)
        while True:
            consumer = self._consumer
            if consumer is not None:
                with suppress(KafkaError):
                    partitions = list(consumer.assignment())
                    ends = await consumer.end_offsets(partitions)
                    while consumer is self._consumer:
                        if partitions and all(self._read.get(tp, -1) >= end for tp, end in ends.items()):
                            return
                        self._moved.clear()
                        await self._moved.wait()
                    continue
            await backoff.wait()

    def _note(self, evidence: DeliveryEvidence) -> "asyncio.Future[None]":
        note: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._notes.append((evidence, note))
        self._noted.set()
        return note

    async def _write(self) -> None:
        while True:
            while self._notes:
                evidence, note = self._notes.popleft()
                (await self._send(evidence)).add_done_callback(partial(self._on_written, evidence, note))
            self._noted.clear()
            await self._noted.wait()

    async def _send(self, evidence: DeliveryEvidence) -> "asyncio.Future[Any]":
        key, headers = evidence.correlation_id.encode(), [(HEADER_RUN, self._run)]
        return await enqueue(self._producer, self._topic, encode_record(evidence), key=key, headers=headers)

    def _on_written(
        self, evidence: DeliveryEvidence, note: "asyncio.Future[None]", written: "asyncio.Future[Any]"
    ) -> None:
        if written.cancelled():
            return
        error = written.exception()
        if error is not None:
            if not self._failed.done():
                self._failed.set_exception(error)
            return
        if evidence.state == "sent":
            self.known.learn(evidence, ours=True)
            self._proofs.pop(evidence.correlation_id, None)
        if not note.done():
            note.set_result(None)

    async def _follow(self) -> None:
        backoff = Backoff(max_seconds=5)
        while True:
            consumer = AIOKafkaConsumer(
                self._topic,
                **client_options(self._kafka),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=_LOOK_MS,
            )
            try:
                await consumer.start()
                await self._read_on(consumer, backoff)
            except (KafkaError, OSError) as error:
                logger.warning("cannot read %s: %s", self._topic, error, extra={"action": "command_log_unread"})
                await backoff.wait()
            finally:
                self._consumer = None
                self._moved.set()
                await consumer.stop()

    async def _read_on(self, consumer: AIOKafkaConsumer, backoff: Backoff) -> None:
        for tp in consumer.assignment():
            if tp in self._read:
                consumer.seek(tp, self._read[tp])
        self._consumer = consumer
        while True:
            for records in (await consumer.getmany(timeout_ms=_LOOK_MS)).values():
                for record in records:
                    self._take(record)
            backoff.reset()
            # By position, not by the last record: compaction leaves gaps, also at the end.
            for tp in consumer.assignment():
                self._read[tp] = await consumer.position(tp)
            self._moved.set()

    def _take(self, record: Any) -> None:
        try:
            evidence = decode_delivery_evidence(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # others may write here, too
        ours = dict(record.headers).get(HEADER_RUN) == self._run
        if evidence.expires_at is None:
            # Not from a bridge: it counts for as long as its command can be in the log.
            kept = timedelta(hours=self._kafka.kafka_retention_hours)
            evidence = msgspec.structs.replace(evidence, expires_at=datetime.now(UTC) + kept)
        self.known.learn(evidence, ours=ours)
        if ours and evidence.state == "sending":
            claim = self._claims.pop((evidence.correlation_id, evidence.attempt), None)
            if claim is not None and not claim.done():
                claim.set_result(self.known.may_send(evidence.correlation_id, evidence.attempt))

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(_FORGET_EVERY_SECONDS)
            self.known.forget(datetime.now(UTC))


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
