"""From MQTT to the log: PUBACK only after the log has acknowledged, and no more under way than the window."""

import asyncio
import time
from collections import deque
from functools import partial
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message
from bridge.uplink.ack_queue import Entry, Outstanding
from bridge.uplink.tracing import begin_trace, end_trace
from runtime.batch_writer import BatchWriter
from runtime.kafka import MAX_PAYLOAD_BYTES
from runtime.metrics import DEAD_LETTERS
from runtime.supervision import vital
from runtime.traces import TRACES
from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Kind, Routes, ven_id_in_topic
from schemas.parsing.common import MAX_ID_LENGTH
from schemas.records import topics
from schemas.records.dead_letters import dead_letter_headers

_KEPT_OF_TOO_LARGE = 65_536
_GATHER_SECONDS = 0.025
_TOPIC_CACHE = 100_000
_LONGEST_CACHED_TOPIC = 256

Taken = Entry[Connection, Message]
Note = asyncio.Future[None]


class _Ids(msgspec.Struct):
    venId: Any = None
    ven_id: Any = None


_decode_ids = msgspec.json.Decoder(_Ids).decode


class Uplink:
    """Republishes what arrives, untouched, keyed by VEN id.

    `run` is the one coroutine that sends: a task per message would cost more than the sending.
    """

    def __init__(self, producer: AIOKafkaProducer, names: topics.TopicNames, routes: Routes, window: int) -> None:
        self._writer = BatchWriter(producer)
        # What goes in each batch that the log has not confirmed.
        self._under_way: dict[asyncio.Future[Any], list[Taken]] = {}
        self._names = names
        self._routes = routes
        self._window = window
        # By kind, and what is sent again after a reconnect counts again.
        self.received = dict.fromkeys(Kind, 0)
        self._kinds: dict[str, Kind] = {}
        self._inbox: deque[tuple[Taken, Note | None]] = deque()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._taken = 0
        self._moved = asyncio.Event()
        self._connection: Connection | None = None
        self._stopping = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outstanding: Outstanding[Connection, Message] = Outstanding(Connection.acknowledge, self._throttle)

    @property
    def outstanding(self) -> int:
        """How many messages were taken and are not acknowledged yet."""
        return len(self._outstanding)

    @property
    def oldest_seconds(self) -> float:
        """How long ago the oldest of them was taken; 0 where there is none."""
        oldest = self._outstanding.oldest
        return 0.0 if oldest is None else max(0.0, time.time() - oldest.received_ms / 1000)

    def use(self, connection: Connection) -> None:
        """Acknowledge on this connection from now on."""
        self._connection = connection
        self._outstanding.use(connection)
        # What waits from the connection before comes again on this one. Not at QoS 0: that comes only once.
        again = [entry for entry, _ in self._inbox if entry.message.qos]
        self._inbox = deque(waiting for waiting in self._inbox if not waiting[0].message.qos)
        for entry in again:
            self._outstanding.confirm(entry)

    def take(self, connection: Connection, message: Message, note: Note | None = None) -> None:
        """Take one message from MQTT; at the end it is left to the broker, which has it for the next bridge.

        Where there is a `note`, it has to be done, too, before the message is acknowledged.
        """
        if self._stopping:
            return
        self._taken += 1
        self._inbox.append((self._outstanding.add(connection, message), note))
        self._arrived.set()

    def hold(self, connection: Connection, message: Message, note: Note | None) -> None:
        """Take one message that does not go to the log itself; it is acknowledged in its turn, and after its note."""
        if self._stopping:
            return
        self._taken += 1
        entry = self._outstanding.add(connection, message)
        if note is None:
            self._outstanding.confirm(entry)
        else:
            note.add_done_callback(partial(self._on_confirmed, entry))

    @vital("the way of messages from MQTT to the log")
    async def run(self) -> None:
        """Send what is taken, for ever.

        Raises:
            KafkaError: the log refused a record for good. Nothing of it was acknowledged, so after a restart of the
                process the broker sends it again.
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
        """Take no more and wait until everything taken is in the log and the broker knows it."""
        self._stopping = True
        await self._drained.wait()
        if self._connection is not None:
            # Also so that nothing is left unread: closing a socket with unread data resets it, and the last PUBACKs go.
            self._connection.resume()
            await self._connection.settle()

    async def caught_up(self) -> None:
        """Wait until what has been taken so far is in the log and acknowledged; more may come in the meantime."""
        goal = self._taken
        while self._taken - len(self._outstanding) < goal:
            self._moved.clear()
            await self._moved.wait()

    async def _send_all(self) -> None:
        while True:
            await self._arrived.wait()
            # Others will be there in a moment: batches are what makes it cheap, here and in the log.
            await asyncio.sleep(_GATHER_SECONDS)
            self._arrived.clear()
            while self._inbox:
                entry, note = self._inbox.popleft()
                record = self._record(entry.message)
                span = begin_trace(record, entry.message) if TRACES.choose_message() else None
                written = await self._writer.add(**record)
                if span is not None:
                    written.add_done_callback(partial(end_trace, span))
                if note is not None:
                    asyncio.gather(written, note).add_done_callback(partial(self._on_confirmed, entry))
                elif written in self._under_way:
                    self._under_way[written].append(entry)
                else:
                    self._under_way[written] = [entry]
                    written.add_done_callback(self._on_written)
            await self._writer.send_batches()

    def _on_written(self, written: "asyncio.Future[Any]") -> None:
        entries = self._under_way.pop(written)
        if written.cancelled():
            return
        error = written.exception()
        if error is None:
            self._outstanding.confirm(*entries)
        elif not self._failed.done():
            self._failed.set_exception(error)

    def _on_confirmed(self, entry: Taken, confirmed: "asyncio.Future[Any]") -> None:
        if confirmed.cancelled():
            return
        error = confirmed.exception()
        if error is None:
            self._outstanding.confirm(entry)
        elif not self._failed.done():
            self._failed.set_exception(error)

    def _record(self, message: Message) -> dict[str, Any]:
        topic, payload = message.topic, message.payload
        kind = self._kind_of(topic)
        self.received[kind] += 1
        headers = [
            (topics.HEADER_TOPIC, topic.encode()),
            (topics.HEADER_RECEIVED, b"%d" % message.received_ms),
            (topics.HEADER_QOS, b"%d" % message.qos),
            (topics.HEADER_RETAIN, b"%d" % message.retain),
            (topics.HEADER_DUP, b"%d" % message.dup),
        ]
        name = self._names.raw(kind)
        record = {"topic": name, "value": payload, "key": _key(kind, topic, payload), "headers": headers}
        return record if len(payload) <= MAX_PAYLOAD_BYTES else self._too_large(record)

    def _too_large(self, record: dict[str, Any]) -> dict[str, Any]:
        """The log cannot hold it: its beginning is kept as a dead letter, so that somebody can see whose it was."""
        DEAD_LETTERS.labels(record["topic"], Reason.TOO_LARGE).inc()
        size = len(record["value"])
        rejection = Rejection(Reason.TOO_LARGE, f"{size} bytes; the first {_KEPT_OF_TOO_LARGE} are kept")
        return {
            "topic": self._names.dead_letters(record["topic"]),
            "value": record["value"][:_KEPT_OF_TOO_LARGE],
            "key": record["key"],
            "headers": dead_letter_headers(rejection, record["headers"], topic=record["topic"]),
        }

    def _kind_of(self, topic: str) -> Kind:
        kind = self._kinds.get(topic)
        if kind is None:
            kind = self._routes.kind_of(topic)
            if len(self._kinds) >= _TOPIC_CACHE:
                self._kinds.clear()
            if len(topic) <= _LONGEST_CACHED_TOPIC:
                self._kinds[topic] = kind
        return kind

    def _throttle(self, outstanding: int) -> None:
        self._moved.set()
        if outstanding == 0:
            self._drained.set()
        else:
            self._drained.clear()
        if self._connection is None:
            return
        if outstanding >= self._window:
            self._connection.pause()
        elif outstanding <= self._window // 2:
            self._connection.resume()


def _key(kind: Kind, topic: str, payload: bytes) -> bytes | None:
    """The VEN's id; None, and so any partition, where the message names no VEN."""
    if kind in (Kind.ACKS, Kind.SHADOW):
        ven_id = ven_id_in_topic(kind, topic)
    else:
        try:
            ids = _decode_ids(payload)
            ven_id = ids.ven_id if ids.venId is None else ids.venId
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            ven_id = None
        ven_id = ven_id or ven_id_in_topic(kind, topic)
    return ven_id.encode() if isinstance(ven_id, str) and 0 < len(ven_id) <= MAX_ID_LENGTH else None
