"""The downlink, Kafka to MQTT: each attempt of a command is sent at most once, whatever fails and when.

A command is claimed in the command log before it is sent, and its offset is committed after the batch is settled.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from bridge.downlink.command_decoder import decode_command
from bridge.downlink.command_log import CommandLog
from bridge.downlink.send_policy import plan_sends
from bridge.downlink.sender import CommandSender
from runtime.backoff import Backoff
from runtime.kafka import client_options, enqueue
from runtime.metrics import DEAD_LETTERS
from runtime.supervision import vital
from schemas.base.rejection import RejectedError, Rejection
from schemas.records.commands import CommandRecord
from schemas.records.dead_letters import dead_letter_headers_for
from schemas.records.topics import COMMANDS
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

_FETCH_MS = 200
_STOP_SECONDS = 3.0


class Downlink:
    """Consumes this bridge's partitions of ven.commands, batch by batch, in their order."""

    def __init__(
        self,
        kafka: KafkaSettings,
        producer: AIOKafkaProducer,
        log: CommandLog,
        sender: CommandSender,
        *,
        window: int,
        name: str,
    ) -> None:
        """Describe it; a batch has at most `window` commands, and `name` is the bridge's in the consumer group."""
        self._kafka = kafka
        self._producer = producer
        self._log = log
        self._sender = sender
        self._window = window
        self._name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:200]
        self._topic = kafka.topics(COMMANDS)
        self._group = f"{kafka.kafka_topic_prefix}gateway-downlink"
        self.partitions_assigned = True
        """Set when partitions were assigned: the claims of their former owner have to be read first."""
        self.joined = False
        """Whether this bridge has joined the consumer group, so that it would send commands."""
        self._stopping = False
        self._ended = asyncio.Event()

    @vital("the downlink (Kafka to MQTT)")
    async def run(self) -> None:
        """Send commands until `drain`.

        Raises:
            KafkaError: Kafka refuses for good.
        """
        backoff = Backoff(max_seconds=5)
        try:
            while not self._stopping:
                try:
                    await self._consume(backoff)
                except (KafkaError, OSError) as error:
                    if isinstance(error, KafkaError) and not error.retriable:
                        logger.error(  # noqa: TRY400 - whoever ends the process logs the traceback
                            "Kafka refuses to read %s: %s; does another bridge run with the same MQTT_CLIENT_ID?",
                            self._topic,
                            error,
                            extra={"action": "commit_rejected"},
                        )
                        raise
                    logger.warning("cannot read %s: %s", self._topic, error, extra={"action": "commands_read_failed"})
                    await backoff.wait()
        finally:
            self._ended.set()

    async def drain(self) -> None:
        """Fetch no more; wait until the broker has answered what was sent, and Kafka has the evidence."""
        self._stopping = True
        self._sender.stop()
        await self._ended.wait()

    async def _consume(self, backoff: Backoff) -> None:
        consumer = AIOKafkaConsumer(
            **client_options(self._kafka),
            group_id=self._group,
            # A static member: a bridge that was killed gets its partitions back as soon as it runs again.
            group_instance_id=self._name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=self._window,
        )
        consumer.subscribe([self._topic], listener=_RebalanceListener(self))
        try:
            await consumer.start()
            while await self._sender.wait_for_connection():
                fetched = await consumer.getmany(timeout_ms=_FETCH_MS)
                backoff.reset()
                if fetched and await self._process([record for records in fetched.values() for record in records]):
                    await self._commit(consumer, {tp: records[-1].offset + 1 for tp, records in fetched.items()})
        finally:
            self.joined = False
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await consumer.stop()

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        """Commit offsets; if it fails, the batch is fetched again, and the command log has its results."""
        try:
            await consumer.commit(offsets)
        except KafkaError as error:
            logger.info("cannot commit %s: %s", self._topic, error, extra={"action": "commands_uncommitted"})

    async def _process(self, records: Sequence[Any]) -> bool:
        """Process a batch until each command is sent, expired, or its delivery is unknown; False after `drain`."""
        batch = [command for record in records if (command := await self._decode(record)) is not None]
        if not await self._sender.wait_for_connection():
            return False
        if self.partitions_assigned:
            self.partitions_assigned = False
            await self._log.catch_up()
        plan = plan_sends(batch, self._log.index.get, datetime.now(UTC))
        for command, reason in plan.expired:
            self._sender.expire(command, reason)
        claims = [self._log.claim(command) for command in plan.to_send]
        for command, claim in zip(plan.to_send, claims, strict=True):
            if await claim:
                await self._sender.send(command)
        await self._sender.finish_batch()
        return True

    async def _decode(self, record: Any) -> CommandRecord | None:
        try:
            command = decode_command(record.value or b"")
        except RejectedError as error:
            await self._dead_letter(record, error.rejection)
            return None
        self._sender.spans.begin(command, record)
        return command

    async def _dead_letter(self, record: Any, rejection: Rejection) -> None:
        name, headers = self._kafka.topics.dead_letters(record.topic), dead_letter_headers_for(record, rejection)
        await (await enqueue(self._producer, name, record.value or b"", key=record.key, headers=headers))
        DEAD_LETTERS.labels(record.topic, rejection.reason).inc()


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reports assigned partitions to the downlink."""

    def __init__(self, downlink: Downlink) -> None:
        self._downlink = downlink

    def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002 - aiokafka's signature
        """Note it; the commands in progress are claimed in the command log."""
        self._downlink.joined = False

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._downlink.joined = True
        self._downlink.partitions_assigned = bool(assigned) or self._downlink.partitions_assigned
