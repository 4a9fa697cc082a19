"""From the log to MQTT: each attempt of a command goes out once at most, whatever is killed or cut and when.

It is claimed in the command log before it goes out. Where a connection is lost after that and before the PUBACK,
nobody knows here whether the broker has it; it is not sent again, and the evidence is left to show it.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiolimiter import AsyncLimiter

from bridge.downlink.command_log import CommandLog
from bridge.downlink.send_policy import COMMAND_TOPIC, LATE, decide, message_at, read_command
from bridge.downlink.tracing import CommandSpans
from bridge.mqtt.connection import Connection
from runtime.backoff import Backoff
from runtime.kafka import client_options, enqueue
from runtime.metrics import COMMANDS_EXPIRED, COMMANDS_SENT, COMMANDS_UNSURE, DEAD_LETTERS
from runtime.supervision import vital
from schemas.base.rejection import RejectedError, Rejection
from schemas.dr import commands
from schemas.records.commands import CommandRecord
from schemas.records.dead_letters import dead_letter_headers_for
from schemas.records.topics import COMMANDS
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

_OPS = frozenset(
    {
        commands.EVENT,
        commands.RESTORE,
        commands.SHED_LOAD,
        commands.SHED_PANEL,
        commands.SET_LOAD,
        commands.SET_CONFIG,
        commands.GET,
        commands.PING,
    }
)
_LOOK_MS = 200
# A broker that is up answers in milliseconds; some that are asked for too much take a message and never answer.
_MOST_UNANSWERED_SECONDS = 30.0
_AGAIN_SECONDS = 1.0
_STOP_SECONDS = 3.0


class Downlink:
    """Sends the commands of this bridge's share of ven.commands, batch by batch, in their order."""

    def __init__(
        self,
        kafka: KafkaSettings,
        producer: AIOKafkaProducer,
        log: CommandLog,
        *,
        window: int,
        name: str,
        per_second: float = 0,
    ) -> None:
        """Describe it; a batch has `window` commands at most, `name` is the bridge's own in the consumer group.

        It sends no more than `per_second` commands a second; 0 is no limit.
        """
        self._kafka = kafka
        self._producer = producer
        self._log = log
        self._window = window
        self._limiter = AsyncLimiter(per_second, 1) if per_second else None
        self._name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:200]
        self._topic = kafka.topics(COMMANDS)
        self._group = f"{kafka.kafka_topic_prefix}gateway-downlink"
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._outstanding: dict[asyncio.Future[None], CommandRecord] = {}
        self._given_up: set[asyncio.Future[None]] = set()
        self._notes: list[asyncio.Future[None]] = []
        self._spans = CommandSpans()
        self.took_over = True
        self.joined = False
        """Whether this bridge has joined the consumer group, and commands for it would be sent."""
        self._stopping = False
        self._ended = asyncio.Event()

    @property
    def outstanding(self) -> int:
        """How many commands were handed to the broker that it has not acknowledged."""
        return len(self._outstanding)

    def use(self, connection: Connection) -> None:
        """Send on this connection from now on."""
        self._connection = connection
        self._changed.set()

    def lose(self) -> None:
        """Send no more on the connection; what it has not acknowledged stays open."""
        self._connection = None
        outstanding, self._outstanding = self._outstanding, {}
        for settled, command in outstanding.items():
            settled.set_result(None)
            if self._log.is_sent(command.correlation_id):
                self._sent(command)  # it has come back already
            elif settled not in self._given_up:
                self._leave_open(command, "the MQTT connection was lost")
        self._given_up.clear()

    @vital("the way of commands from the log to MQTT")
    async def run(self) -> None:
        """Send until `drain`.

        Raises:
            KafkaError: the log refuses for good.
        """
        backoff = Backoff(max_seconds=5)
        try:
            while not self._stopping:
                try:
                    await self._consume(backoff)
                except (KafkaError, OSError) as error:
                    if isinstance(error, KafkaError) and not error.retriable:
                        logger.error(  # noqa: TRY400 - who ends the process shows the traceback
                            "the log refuses %s: %s; does another bridge run under the same MQTT_CLIENT_ID?",
                            self._topic,
                            error,
                            extra={"action": "commands_refused"},
                        )
                        raise
                    logger.warning("cannot read %s: %s", self._topic, error, extra={"action": "commands_unread"})
                    await backoff.wait()
        finally:
            self._ended.set()

    async def drain(self) -> None:
        """Take no more, and wait until the broker has what was handed to it and the log knows."""
        self._stopping = True
        self._changed.set()
        await self._ended.wait()

    async def _consume(self, backoff: Backoff) -> None:
        consumer = AIOKafkaConsumer(
            **client_options(self._kafka),
            group_id=self._group,
            # So that a bridge that was killed has its partitions back as soon as it is up again.
            group_instance_id=self._name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=self._window,
        )
        consumer.subscribe([self._topic], listener=_Assigned(self))
        try:
            await consumer.start()
            while await self._connected():
                fetched = await consumer.getmany(timeout_ms=_LOOK_MS)
                backoff.reset()
                if fetched and await self._handle([record for records in fetched.values() for record in records]):
                    await self._commit(consumer, {tp: records[-1].offset + 1 for tp, records in fetched.items()})
        finally:
            self.joined = False
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await consumer.stop()

    async def _connected(self) -> bool:
        """Wait for an MQTT connection; False when it is time to end."""
        while self._connection is None and not self._stopping:
            self._changed.clear()
            await self._changed.wait()
        return not self._stopping

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        """Where it fails, the batch is read again, and the command log tells what became of it."""
        try:
            await consumer.commit(offsets)
        except KafkaError as error:
            logger.info("cannot commit %s: %s", self._topic, error, extra={"action": "commands_uncommitted"})

    async def _handle(self, records: Sequence[Any]) -> bool:
        """See a batch through: all of it is sent, expired, or left open at return; False when it is time to end."""
        batch = [command for record in records if (command := await self._decoded(record)) is not None]
        if not await self._connected():
            return False
        if self.took_over:
            # What the bridge before us noted of these partitions comes before what we decide.
            self.took_over = False
            await self._log.caught_up()
        decisions = decide(batch, self._log.known.get, datetime.now(UTC))
        self._notes = [self._expired(command, reason) for command, reason in decisions.expired]
        claims = [self._log.claim(command) for command in decisions.to_send]
        for command, claim in zip(decisions.to_send, claims, strict=True):
            if await claim:
                await self._send(command)
        await self._settled()
        await asyncio.gather(*self._notes)
        self._spans.forget()
        return True

    async def _send(self, command: CommandRecord) -> None:
        """Hand a command that was claimed to the broker; waits for a connection, and then looks at it anew."""
        if command.attempt > 1 and self._is_under_way(command.correlation_id):
            # On a connection that hangs: when it goes on, both would arrive.
            self._leave_open(command, "the attempt before is still under way")
            return
        if self._limiter is not None:
            await self._limiter.acquire()
        while self._log.known.may_send(command.correlation_id, command.attempt):
            message = message_at(command, datetime.now(UTC))
            if message is None:
                self._notes.append(self._expired(command, LATE))
                return
            settled = asyncio.get_running_loop().create_future()
            acknowledged = partial(self._on_acknowledged, settled)
            topic = COMMAND_TOPIC + command.ven_id
            if self._connection is not None and self._connection.publish(topic, message, acknowledged):
                self._outstanding[settled] = command
                return
            if self._stopping:
                self._leave_open(command, "the bridge ends without an MQTT connection")
                return
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._changed.wait()
            await self._log.caught_up()

    def _is_under_way(self, correlation_id: str) -> bool:
        return any(each.correlation_id == correlation_id for each in self._outstanding.values())

    async def _settled(self) -> None:
        """Wait until the broker has acknowledged what is under way, or the connection is lost."""
        waiting = [settled for settled in self._outstanding if settled not in self._given_up]
        if not waiting:
            return
        _, silent = await asyncio.wait(waiting, timeout=_MOST_UNANSWERED_SECONDS)
        for settled in silent:
            self._given_up.add(settled)
            self._leave_open(self._outstanding[settled], f"no PUBACK within {_MOST_UNANSWERED_SECONDS:.0f} s")

    def _on_acknowledged(self, settled: "asyncio.Future[None]") -> None:
        command = self._outstanding.pop(settled)
        self._given_up.discard(settled)
        settled.set_result(None)
        self._sent(command)

    def _sent(self, command: CommandRecord) -> None:
        COMMANDS_SENT.labels(command.op if command.op in _OPS else "other").inc()
        self._spans.end(command)
        note = self._log.sent(command.correlation_id)
        if note is not None:
            self._notes.append(note)

    def _expired(self, command: CommandRecord, reason: str) -> "asyncio.Future[None]":
        COMMANDS_EXPIRED.inc()
        self._spans.end(command, reason)
        return self._log.expired(command, reason)

    def _leave_open(self, command: CommandRecord, reason: str) -> None:
        COMMANDS_UNSURE.inc()
        self._spans.end(command, reason)
        logger.warning(
            "%s to %s may not have arrived: %s; it is not sent again unless evidence shows that it did not",
            command.correlation_id,
            command.ven_id,
            reason,
            extra={
                "action": "command_unsure",
                "correlation_id": command.correlation_id,
                "ven_id": command.ven_id,
                "event_id": command.event_id,
            },
        )

    async def _decoded(self, record: Any) -> CommandRecord | None:
        try:
            command = read_command(record.value or b"")
        except RejectedError as error:
            await self._dead_letter(record, error.rejection)
            return None
        self._spans.begin(command, record)
        return command

    async def _dead_letter(self, record: Any, rejection: Rejection) -> None:
        name, headers = self._kafka.topics.dead_letters(record.topic), dead_letter_headers_for(record, rejection)
        await (await enqueue(self._producer, name, record.value or b"", key=record.key, headers=headers))
        DEAD_LETTERS.labels(record.topic, rejection.reason).inc()


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the downlink of partitions that it takes over."""

    def __init__(self, downlink: Downlink) -> None:
        self._downlink = downlink

    def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002 - aiokafka's signature
        """What is in hand is claimed in the command log."""
        self._downlink.joined = False

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._downlink.joined = True
        self._downlink.took_over = bool(assigned) or self._downlink.took_over
