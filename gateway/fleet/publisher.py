"""An MQTT connection that publishes at QoS 1 and survives broker restarts without losing messages."""

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
DRAIN_S = 15.0  # how long the last PUBACKs may take
_KEEPALIVE_CHECK_S = 1.0
_MIN_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 10.0
_FILTERS_PER_PACKET = 500

# CONNACK codes 1, 2, 4 and 5 in paho's words. Code 3, "server unavailable", is temporary.
_REFUSALS = frozenset(
    ("Unsupported protocol version", "Client identifier not valid", "Bad user name or password", "Not authorized")
)


class BrokerRefusedError(Exception):
    """The broker refuses this client; retrying does not help."""


class Outage:
    """Logs an outage of the broker once, for all connections that share it."""

    def __init__(self) -> None:
        self._logged = False

    def begin(self, where: str, error: Exception) -> None:
        """Log a warning, unless this outage was logged before."""
        if not self._logged:
            logger.warning(
                "cannot reach the MQTT broker at %s: %s; retrying", where, error, extra={"action": "fleet_unconnected"}
            )
        self._logged = True

    def end(self) -> None:
        """Record that a connection is up."""
        self._logged = False


class Publisher:
    """A connection (MQTT 3.1.1, persistent session) with a bounded window of messages in flight.

    Use it as an async context manager: `await wait_for_capacity()`, then `send()`. It reconnects with full-jitter
    backoff and publishes messages without a PUBACK again.
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
        on_message: Callable[[str, bytes, bool], None] | None = None,
    ) -> None:
        """Prepare a connection. Connections to one broker share an `outage`.

        `on_message` is called with the topic, the payload and the DUP flag of each message that matches `subscribe`.
        """
        self._outage = outage or Outage()
        self._where = f"{host}:{port}"
        self._window = window
        self._filters = [(topic, 1) for topic in subscribe]
        self._subscribed = False
        self._receive = on_message
        self._in_flight: dict[int, Callable[[], None]] = {}
        self._fd: int | None = None
        self._online = False
        self._closing = False
        self._refused: str | None = None
        self._state_changed = asyncio.Event()  # connected, disconnected, or to be closed
        self._capacity_changed = asyncio.Event()  # a PUBACK, a connection, or the end of the connection task
        # paho repeats messages without a PUBACK. Its queue is either unbounded or refuses messages, so the window is
        # here, where a sender can wait for it.
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
        self._connection = self._loop.create_task(self._stay_connected(), name=f"MQTT {self._where}")
        self._connection.add_done_callback(lambda _: self._capacity_changed.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._state_changed.set()
        # Not cancelled: a connection attempt in its thread would outlive this object. All its waits are bounded.
        await asyncio.wait({self._connection})
        failure = self._connection.exception()
        if failure is not None and error is None:
            raise failure

    async def wait_for_capacity(self) -> None:
        """Wait until `send` may be called: the connection is up and its window is not full.

        Raises:
            BrokerRefusedError: the broker refused the connection.
        """
        while not self._online or len(self._in_flight) >= self._window:
            await self._wait_for_capacity_change()

    def send(
        self, topic: str, payload: bytes, accepted: Callable[[], None], *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish a message; `accepted` is called when its PUBACK arrives (never at QoS 0)."""
        info = self._client.publish(topic, payload, qos, retain)
        while info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            # Packet ids wrap around at 65,535. This one is still in flight, so use the next.
            info = self._client.publish(topic, payload, qos, retain)
        if qos:
            self._in_flight[info.mid] = accepted
        self._watch_socket()

    async def drain(self, timeout_s: float) -> int:
        """Wait at most `timeout_s` seconds for all PUBACKs; return how many are still missing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._in_flight:
                    await self._wait_for_capacity_change()
        return len(self._in_flight)

    async def _wait_for_capacity_change(self) -> None:
        if self._connection.done():
            self._connection.result()
        self._capacity_changed.clear()
        await self._capacity_changed.wait()

    async def _stay_connected(self) -> None:
        failures = 0
        while not self._closing:
            if await self._connect():
                failures = 0
                await self._serve()
            if self._refused is not None:
                raise BrokerRefusedError(
                    f"the MQTT broker at {self._where} refused the connection: {self._refused}; check the credentials"
                )
            if not self._closing:
                limit = min(_MAX_BACKOFF_S, _MIN_BACKOFF_S * 2**failures)
                failures = min(failures + 1, 10)
                await self._wait_for_state_change(random.uniform(0.0, limit))  # noqa: S311 - jitter needs no secure random

    async def _connect(self) -> bool:
        """Try to connect once; return whether the broker accepted."""
        try:
            # In a thread, because paho resolves the name and connects with blocking calls. Nothing else uses the
            # client meanwhile: senders wait for `_online`, and no socket is watched.
            await asyncio.to_thread(self._client.reconnect)
        except OSError as error:
            self._outage.begin(self._where, error)
            return False
        self._watch_socket()
        deadline = self._loop.time() + _CONNECT_TIMEOUT_S
        while self._fd is not None and not self._online and self._loop.time() < deadline:
            await self._wait_for_state_change(_KEEPALIVE_CHECK_S)
        if self._online:
            self._outage.end()
        else:
            self._abort()
        return self._online

    async def _serve(self) -> None:
        """Serve the connection until it is lost or `__aexit__` closes it."""
        while self._online and not self._closing:
            await self._wait_for_state_change(_KEEPALIVE_CHECK_S)
            self._client.loop_misc()  # keep-alive
        if self._online:
            self._client.disconnect()
            self._watch_socket()
            if self._fd is not None:
                await self._wait_for_state_change(_CLOSE_TIMEOUT_S)
            self._abort()

    async def _wait_for_state_change(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._state_changed.wait()
        self._state_changed.clear()

    def _watch_socket(self) -> None:
        """Let the event loop serve paho's socket: read always, write while there is something to write."""
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
        """Drop a connection that does not answer; paho notices on its next read."""
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
            self._capacity_changed.set()
        elif reason.getName() in _REFUSALS:
            self._refused = reason.getName()
        self._state_changed.set()

    def _subscribe(self, *, session_present: bool) -> None:
        """Subscribe before anything is published, so that no answer is missed."""
        # An existing session of this client id may have other filters.
        if not (self._subscribed and session_present):
            for at in range(0, len(self._filters), _FILTERS_PER_PACKET):
                self._client.subscribe(self._filters[at : at + _FILTERS_PER_PACKET])
        self._subscribed = True

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            logger.warning(
                "the MQTT broker at %s refused the subscription to commands; check its access rules",
                self._where,
                extra={"action": "fleet_subscription_refused"},
            )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._receive is not None:
            self._receive(message.topic, bytes(message.payload), message.dup)

    def _on_disconnect(self, *_: Any) -> None:
        self._online = False
        self._state_changed.set()

    def _on_publish(self, _client: Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        accepted = self._in_flight.pop(mid, None)
        if accepted is not None:
            accepted()
            self._capacity_changed.set()

    def _on_socket_close(self, *_: Any) -> None:
        self._forget_socket()
