"""The uplink, MQTT to Kafka: a PUBACK follows only after Kafka has the message; a window limits what is in flight."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message
from bridge.uplink.puback_queue import PendingPuback, PubackQueue
from bridge.uplink.raw_records import RawRecords
from bridge.uplink.tracing import end_message_span, start_message_span
from runtime.batch_writer import BatchWriter
from runtime.supervision import vital
from runtime.tracing import TRACING
from schemas.mqtt.routing import Kind, Routes
from schemas.records.topics import TopicNames

_BATCH_SECONDS = 0.025

Pending = PendingPuback[Connection, Message]
Evidence = asyncio.Future[None]
"""Done when Kafka has stored what a message proves about a command (see bridge/downlink/echo.py)."""


class Uplink:
    """Republishes MQTT messages to Kafka unchanged, keyed by VEN id.

    Only `run` sends: a task for each message would cost more than the sending.
    """

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames, routes: Routes, window: int) -> None:
        self._writer = BatchWriter(producer)
        self._records = RawRecords(names, routes)
        self._window = window
        self._inbox: deque[tuple[Pending, Evidence | None]] = deque()
        self._arrived = asyncio.Event()
        # The messages of each batch that Kafka has not acknowledged.
        self._in_flight: dict[asyncio.Future[Any], list[Pending]] = {}
        self._queue: PubackQueue[Connection, Message] = PubackQueue(Connection.acknowledge, self._on_queue_change)
        self._received_count = 0
        self._progress = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._connection: Connection | None = None
        self._stopping = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def received(self) -> Mapping[Kind, int]:
        """Messages received, by kind, including redelivered ones."""
        return self._records.received

    @property
    def unacknowledged(self) -> int:
        """The number of received messages that have no PUBACK yet."""
        return len(self._queue)

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest message without a PUBACK, in seconds; 0 if there is none."""
        oldest = self._queue.oldest
        return 0.0 if oldest is None else max(0.0, time.time() - oldest.received_ms / 1000)

    def attach(self, connection: Connection) -> None:
        """Acknowledge on this connection from now on."""
        self._connection = connection
        self._queue.attach(connection)
        # The broker redelivers the messages that still wait, except those at QoS 0.
        redelivered = [pending for pending, _ in self._inbox if pending.message.qos]
        self._inbox = deque(waiting for waiting in self._inbox if not waiting[0].message.qos)
        for pending in redelivered:
            self._queue.confirm(pending)

    def receive(self, connection: Connection, message: Message, evidence: Evidence | None = None) -> None:
        """Accept a message for Kafka; it is acknowledged after Kafka has stored it, and after its evidence.

        During `drain` it is ignored: the broker keeps it for the next bridge.
        """
        if self._stopping:
            return
        self._received_count += 1
        self._inbox.append((self._queue.add(connection, message), evidence))
        self._arrived.set()

    def acknowledge_after(self, evidence: Evidence | None, connection: Connection, message: Message) -> None:
        """Accept a message that is not for Kafka; it is acknowledged in its turn, and after its evidence."""
        if self._stopping:
            return
        self._received_count += 1
        pending = self._queue.add(connection, message)
        if evidence is None:
            self._queue.confirm(pending)
        else:
            evidence.add_done_callback(partial(self._on_stored, [pending]))

    @vital("the uplink (MQTT to Kafka)")
    async def run(self) -> None:
        """Send what is received, for ever.

        Raises:
            KafkaError: Kafka refuses a record for good. Its batch was not acknowledged, so the broker sends it again
                after the process has restarted.
        """
        sending = asyncio.ensure_future(self._send_all())
        try:
            await asyncio.wait({sending, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for outcome in (sending, self._failed):
                if outcome.done():
                    outcome.result()
        finally:
            sending.cancel()

    async def drain(self) -> None:
        """Accept no more; wait until Kafka has everything received and the broker has every PUBACK."""
        self._stopping = True
        await self._drained.wait()
        if self._connection is not None:
            # Closing a socket with unread data resets it, and the last PUBACKs are lost; so read it empty.
            self._connection.resume()
            await self._connection.flush()

    async def flush(self) -> None:
        """Wait until everything received so far is in Kafka and acknowledged; more may arrive meanwhile."""
        goal = self._received_count
        while self._received_count - len(self._queue) < goal:
            self._progress.clear()
            await self._progress.wait()

    async def _send_all(self) -> None:
        while True:
            await self._arrived.wait()
            # Wait for more messages: large batches are cheap, here and in Kafka.
            await asyncio.sleep(_BATCH_SECONDS)
            self._arrived.clear()
            while self._inbox:
                await self._send(*self._inbox.popleft())
            await self._writer.send_batches()

    async def _send(self, pending: Pending, evidence: Evidence | None) -> None:
        record = self._records.build(pending.message)
        span = start_message_span(record, pending.message) if TRACING.samples_message() else None
        stored = await self._writer.add(**record)
        if span is not None:
            stored.add_done_callback(partial(end_message_span, span))
        if evidence is not None:
            asyncio.gather(stored, evidence).add_done_callback(partial(self._on_stored, [pending]))
        elif stored in self._in_flight:
            self._in_flight[stored].append(pending)
        else:
            self._in_flight[stored] = [pending]
            stored.add_done_callback(self._on_batch_stored)

    def _on_batch_stored(self, stored: "asyncio.Future[Any]") -> None:
        self._on_stored(self._in_flight.pop(stored), stored)

    def _on_stored(self, pending: list[Pending], stored: "asyncio.Future[Any]") -> None:
        if stored.cancelled():
            return
        error = stored.exception()
        if error is None:
            self._queue.confirm(*pending)
        elif not self._failed.done():
            self._failed.set_exception(error)

    def _on_queue_change(self, length: int) -> None:
        self._progress.set()
        if length == 0:
            self._drained.set()
        else:
            self._drained.clear()
        if self._connection is None:
            return
        if length >= self._window:
            self._connection.pause()
        elif length <= self._window // 2:
            self._connection.resume()
