"""Sends claimed commands to MQTT and waits for their PUBACKs.

If the connection drops before the PUBACK, delivery is unknown: the command is not sent again, and only evidence (an
echo, an ack, a sample) shows later whether the broker has it.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from aiolimiter import AsyncLimiter

from bridge.downlink.command_log import CommandLog
from bridge.downlink.send_policy import LATE, payload_at
from bridge.downlink.tracing import CommandSpans
from bridge.mqtt.connection import Connection
from runtime.metrics import COMMANDS_DELIVERY_UNKNOWN, COMMANDS_EXPIRED, COMMANDS_SENT
from schemas.dr import commands
from schemas.mqtt.routing import COMMAND_TOPIC
from schemas.records.commands import CommandRecord

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
# Brokers answer in milliseconds. A broker above its rate limit may accept a message and never answer.
_PUBACK_TIMEOUT_SECONDS = 30.0
_RETRY_SECONDS = 1.0


class CommandSender:
    """Sends on the connection of the moment, at most `per_second` commands a second; 0 is no limit."""

    def __init__(self, log: CommandLog, *, per_second: float = 0) -> None:
        self._log = log
        self._limiter = AsyncLimiter(per_second, 1) if per_second else None
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._in_flight: dict[asyncio.Future[None], CommandRecord] = {}
        self._timed_out: set[asyncio.Future[None]] = set()
        self._evidence: list[asyncio.Future[None]] = []
        self._stopping = False
        self.spans = CommandSpans()

    @property
    def in_flight(self) -> int:
        """The number of commands that were sent and have no PUBACK yet."""
        return len(self._in_flight)

    def attach(self, connection: Connection) -> None:
        """Send on this connection from now on."""
        self._connection = connection
        self._changed.set()

    def detach(self) -> None:
        """Stop sending on the connection; the delivery of commands without a PUBACK is unknown."""
        self._connection = None
        in_flight, self._in_flight = self._in_flight, {}
        for settled, command in in_flight.items():
            settled.set_result(None)
            if self._log.is_sent(command.correlation_id):
                self._on_sent(command)  # its echo has arrived
            elif settled not in self._timed_out:
                self._delivery_unknown(command, "the MQTT connection was lost")
        self._timed_out.clear()

    def stop(self) -> None:
        """Wait for no further connection."""
        self._stopping = True
        self._changed.set()

    async def wait_for_connection(self) -> bool:
        """Wait for an MQTT connection; False after `stop`."""
        while self._connection is None and not self._stopping:
            self._changed.clear()
            await self._changed.wait()
        return not self._stopping

    async def send(self, command: CommandRecord) -> None:
        """Send a claimed command; waits for a connection, and then checks again whether it may be sent."""
        if command.attempt > 1 and self._is_in_flight(command.correlation_id):
            # On a connection that hangs: when it recovers, both attempts would arrive.
            self._delivery_unknown(command, "the previous attempt is still in flight")
            return
        if self._limiter is not None:
            await self._limiter.acquire()
        while self._log.index.may_send(command.correlation_id, command.attempt):
            payload = payload_at(command, datetime.now(UTC))
            if payload is None:
                self.expire(command, LATE)
                return
            settled = asyncio.get_running_loop().create_future()
            on_acknowledged = partial(self._on_acknowledged, settled)
            topic = COMMAND_TOPIC + command.ven_id
            if self._connection is not None and self._connection.publish(topic, payload, on_acknowledged):
                self._in_flight[settled] = command
                return
            if self._stopping:
                self._delivery_unknown(command, "the bridge ends without an MQTT connection")
                return
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._changed.wait()
            await self._log.catch_up()

    def expire(self, command: CommandRecord, reason: str) -> None:
        """Record that a command is not sent."""
        COMMANDS_EXPIRED.inc()
        self.spans.end(command, reason)
        self._evidence.append(self._log.record_expired(command, reason))

    async def finish_batch(self) -> None:
        """Wait until the broker has answered all commands or the connection is lost, and Kafka has the evidence."""
        waiting = [settled for settled in self._in_flight if settled not in self._timed_out]
        if waiting:
            _, unanswered = await asyncio.wait(waiting, timeout=_PUBACK_TIMEOUT_SECONDS)
            for settled in unanswered:
                self._timed_out.add(settled)
                self._delivery_unknown(self._in_flight[settled], f"no PUBACK within {_PUBACK_TIMEOUT_SECONDS:.0f} s")
        evidence, self._evidence = self._evidence, []
        await asyncio.gather(*evidence)
        self.spans.forget()

    def _is_in_flight(self, correlation_id: str) -> bool:
        return any(each.correlation_id == correlation_id for each in self._in_flight.values())

    def _on_acknowledged(self, settled: "asyncio.Future[None]") -> None:
        command = self._in_flight.pop(settled)
        self._timed_out.discard(settled)
        settled.set_result(None)
        self._on_sent(command)

    def _on_sent(self, command: CommandRecord) -> None:
        COMMANDS_SENT.labels(command.op if command.op in _OPS else "other").inc()
        self.spans.end(command)
        stored = self._log.record_sent(command.correlation_id)
        if stored is not None:
            self._evidence.append(stored)

    def _delivery_unknown(self, command: CommandRecord, reason: str) -> None:
        COMMANDS_DELIVERY_UNKNOWN.inc()
        self.spans.end(command, reason)
        logger.warning(
            "delivery of %s to %s is unknown: %s; it is sent again only if evidence shows that it did not arrive",
            command.correlation_id,
            command.ven_id,
            reason,
            extra={
                "action": "command_delivery_unknown",
                "correlation_id": command.correlation_id,
                "ven_id": command.ven_id,
                "event_id": command.event_id,
            },
        )
