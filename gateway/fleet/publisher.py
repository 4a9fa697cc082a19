"""An MQTT connection that publishes at QoS 1 and knows what the broker has accepted, across broker restarts."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)

_KEEPALIVE_S = 30
_CONNECT_TIMEOUT_S = 5.0  # for the TCP connection, and again for the broker's CONNACK
_CLOSE_TIMEOUT_S = 5.0
_HOUSEKEEPING_S = 1.0
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MOST_S = 10.0
_FILTERS_A_PACKET = 500

# CONNACK codes 1, 2, 4 and 5 as paho names them; only 3, "server unavailable", may pass by itself.
_REFUSALS = frozenset(
    ("Unsupported protocol version", "Client identifier not valid", "Bad user name or password", "Not authorized")
)


class BrokerRefusedError(Exception):
    """The broker answered and does not let this client in: trying again would not help."""


class Outage:
    """Says once that a broker is away, however many connections find that out, and however often."""

    def __init__(self) -> None:
        self._said = False

    def is_on(self, where: str, error: Exception) -> None:
        """Warn, unless that was done since the last success."""
        if not self._said:
            logger.warning(
                "cannot reach the MQTT broker at %s: %s; trying on", where, error, extra={"action": "fleet_unconnected"}
            )
        self._said = True

    def is_over(self) -> None:
        """Take note that a connection is up."""
        self._said = False


class Publisher:
    """One connection (MQTT 3.1.1, persistent session) with a bounded window of messages without a PUBACK.

    Use it as an async context manager; `await room()`, then `send()`. A lost connection is made again with
    full-jitter backoff, and whatever had no PUBACK is published again: at least once, never lost.
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: str,
        *,
        username: str | None = None,
        password: str | None = None,
        window: int = 500,
        outage: Outage | None = None,
        subscribe: Sequence[str] = (),
        heard: Callable[[str, bytes, bool], None] | None = None,
    ) -> None:
        """Describe it; connections to one broker share an `outage`.

        `heard` is called with the topic, the payload and the DUP flag of each message of the filters in `subscribe`.
        """
        self._outage = outage or Outage()
        self._where = f"{host}:{port}"
        self._window = window
        self._filters = [(topic, 1) for topic in subscribe]
        self._subscribed = False
        self._heard = heard
        self._outstanding: dict[int, Callable[[], None]] = {}
        self._fd: int | None = None
        self._online = False
        self._closing = False
        self._refused: str | None = None
        self._news = asyncio.Event()  # for the keeper: connected, disconnected, or to be closed
        self._changed = asyncio.Event()  # for senders: a place in the window, a connection, or an end
        # paho keeps and repeats what has no PUBACK. Its own queue would be unbounded or refuse: the window is
        # kept here, where a sender can wait for it.
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, reconnect_on_failure=False
        )
        self._client.max_inflight_messages_set(0)
        self._client.max_queued_messages_set(0)
        self._client.connect_timeout = _CONNECT_TIMEOUT_S
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_socket_close = self._on_socket_close
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.connect_async(host, port, _KEEPALIVE_S)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._keeper = self._loop.create_task(self._keep_connected(), name=f"keep MQTT {self._where}")
        self._keeper.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._news.set()
        # Not cancelled: a connection just being made in its thread would outlive us. Every wait of it is bounded.
        await asyncio.wait({self._keeper})
        failure = self._keeper.exception()
        if failure is not None and error is None:
            raise failure

    async def wait_for_capacity(self) -> None:
        """Wait until the connection is up and its window has a place, so that `send` may be called.

        Raises:
            BrokerRefusedError: when the broker does not let this client in.
        """
        while not self._online or len(self._outstanding) >= self._window:
            await self._change()

    def send(
        self, topic: str, payload: bytes, accepted: Callable[[], None], *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish one message; `accepted` is called when its PUBACK arrives (at QoS 0, which has none: never)."""
        info = self._client.publish(topic, payload, qos, retain)
        while info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            # Packet ids start again after 65,535: this one still waits for its PUBACK, so take the next.
            info = self._client.publish(topic, payload, qos, retain)
        if qos:
            self._outstanding[info.mid] = accepted
        self._watch_socket()

    async def drain(self, timeout_s: float) -> int:
        """Wait for the outstanding PUBACKs, at most `timeout_s` seconds; returns how many are still missing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._outstanding:
                    await self._change()
        return len(self._outstanding)

    async def _change(self) -> None:
        if self._keeper.done():
            self._keeper.result()
        self._changed.clear()
        await self._changed.wait()

    async def _keep_connected(self) -> None:
        failures = 0
        while not self._closing:
            if await self._connect():
                failures = 0
                await self._stay()
            if self._refused is not None:
                raise BrokerRefusedError(f"the MQTT broker at {self._where} does not let us in: {self._refused}")
            if not self._closing:
                most = min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2**failures)
                failures = min(failures + 1, 10)
                await self._next_news(random.uniform(0.0, most))  # noqa: S311 - jitter is no secret

    async def _connect(self) -> bool:
        """Try once to connect; whether the broker let us in."""
        try:
            # In a thread, for paho looks up the name and connects with blocking calls. Nothing else touches
            # the client meanwhile: senders wait for `_online`, and no socket is being watched.
            await asyncio.to_thread(self._client.reconnect)
        except OSError as error:
            self._outage.is_on(self._where, error)
            return False
        self._watch_socket()
        patience_ends = self._loop.time() + _CONNECT_TIMEOUT_S
        while self._fd is not None and not self._online and self._loop.time() < patience_ends:
            await self._next_news(_HOUSEKEEPING_S)
        if self._online:
            self._outage.is_over()
        else:
            self._abort()
        return self._online

    async def _stay(self) -> None:
        """Stay connected; return when the connection is lost, or was closed because we are to close."""
        while self._online and not self._closing:
            await self._next_news(_HOUSEKEEPING_S)
            self._client.loop_misc()  # keep-alive
        if self._online:
            self._client.disconnect()
            self._watch_socket()
            if self._fd is not None:
                await self._next_news(_CLOSE_TIMEOUT_S)
            self._abort()

    async def _next_news(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    def _watch_socket(self) -> None:
        """Have the event loop serve paho's socket: reading always, writing while something is left to write."""
        sock = self._client.socket()
        if sock is None:
            return
        if self._fd is None:
            self._fd = sock.fileno()
            self._loop.add_reader(self._fd, self._readable)
        if self._client.want_write():
            self._loop.add_writer(self._fd, self._writable)

    def _readable(self) -> None:
        self._client.loop_read()
        self._watch_socket()

    def _writable(self) -> None:
        self._client.loop_write()
        if self._fd is not None and not self._client.want_write():
            self._loop.remove_writer(self._fd)

    def _abort(self) -> None:
        """Drop a connection that does not answer, if there is one; paho notices by reading from it."""
        sock = self._client.socket()
        if sock is not None:
            self._forget_socket()
            sock.close()
            self._client.loop_read()

    def _forget_socket(self) -> None:
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = None

    def _on_connect(
        self, _client: Client, _data: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if not reason.is_failure:
            self._subscribe(session_present=flags.session_present)
            self._online = True
            self._changed.set()
        elif reason.getName() in _REFUSALS:
            self._refused = reason.getName()
        self._news.set()

    def _subscribe(self, *, session_present: bool) -> None:
        """Before anything is published, so that whoever hears from us can be heard."""
        # A session that was there before us may be of other filters.
        if not (self._subscribed and session_present):
            for at in range(0, len(self._filters), _FILTERS_A_PACKET):
                self._client.subscribe(self._filters[at : at + _FILTERS_A_PACKET])
        self._subscribed = True

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            logger.warning(
                "the MQTT broker at %s lets us not hear commands: check what it allows",
                self._where,
                extra={"action": "fleet_deaf"},
            )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._heard is not None:
            self._heard(message.topic, bytes(message.payload), message.dup)

    def _on_disconnect(self, *_: Any) -> None:
        self._online = False
        self._news.set()

    def _on_publish(self, _client: Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        accepted = self._outstanding.pop(mid, None)
        if accepted is not None:
            accepted()
            self._changed.set()

    def _on_socket_close(self, *_: Any) -> None:
        self._forget_socket()
