"""One MQTT connection that acknowledges messages on request, and whose socket can stay unread.

aiomqtt acknowledges a message before it is processed and has no public way to change that. So this file, like
packet_reader.py and no other, uses the paho client below it: for acknowledgements, `on_publish`, and reading the
socket.
"""

# ruff: noqa: SLF001 - the private attributes of aiomqtt and paho that the docstring names

import asyncio
import select
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho

from bridge.mqtt.packet_reader import Message, PacketReader
from bridge.mqtt.tls import tls_context
from schemas.settings.mqtt import MqttSettings

_SUBACK_FAILURE = 0x80
_QOS = 1
# AWS IoT Core accepts no more in one request.
_MAX_FILTERS_PER_REQUEST = 8
_POLL_SECONDS = 1.0
PUBACK = 0x40
_PUBACK = struct.Struct("!BBH")
_NEVER_SUBSCRIBED = "gateway/never/subscribed"


class Connection:
    """A connection to the broker with a persistent session (MQTT 3.1.1, clean session off).

    The event loop calls `on_message` for every message, also for those that arrive before the subscriptions are
    confirmed. A connection is used once; after it is lost, create another.
    """

    def __init__(self, settings: MqttSettings, on_message: Callable[["Connection", Message], None]) -> None:
        self._client = aiomqtt.Client(
            settings.mqtt_host,
            settings.mqtt_port,
            username=settings.mqtt_username or None,
            password=settings.mqtt_password.get_secret_value() or None,
            identifier=settings.mqtt_client_id,
            clean_session=False,
            keepalive=settings.mqtt_keepalive,
            tls_context=tls_context(settings),
            # No limit: above its limit paho queues what we count as sent.
            max_inflight_messages=0,
        )
        self._paho = self._client._client
        self._reader = PacketReader(self._paho, lambda message: on_message(self, message))
        self._paho.on_publish = lambda _client, _userdata, mid, *_: self._published.pop(mid)()
        self._published: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._stack = AsyncExitStack()
        self._open_requests = 0
        self.reading = True
        self.pauses = 0
        """How often reading was paused."""

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        # Replaces aiomqtt's reader, which reads one packet at a time.
        self._watch_socket()
        self._polling = self._loop.create_task(self._poll_socket())
        self._stack.callback(self._polling.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def subscribe(self, filters: Sequence[str]) -> list[str]:
        """Subscribe at QoS 1; return the filters that the broker refused.

        Raises:
            aiomqtt.MqttError: the connection was lost, or the broker did not answer in time.
        """
        refused: list[str] = []
        with self._reading_answers():
            for some in _in_requests(filters):
                granted = await self._client.subscribe([(name, _QOS) for name in some])
                codes = [code if isinstance(code, int) else code.value for code in granted]
                refused += [name for name, code in zip(some, codes, strict=True) if code >= _SUBACK_FAILURE]
        return refused

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Remove filters from the session and wait for the broker's confirmation; unknown filters are no error.

        Raises:
            aiomqtt.MqttError: the connection was lost, or the broker did not answer in time.
        """
        with self._reading_answers():
            for some in _in_requests(filters):
                await self._client.unsubscribe(list(some))

    def publish(self, topic: str, payload: bytes, on_acknowledged: Callable[[], None]) -> bool:
        """Publish a message at QoS 1, not retained; False if it was certainly not sent.

        The event loop calls `on_acknowledged` when the PUBACK arrives. If the connection drops before the PUBACK,
        delivery is unknown, and the message is not sent again.
        """
        sent = self._paho.publish(topic, payload, qos=_QOS)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            return False  # not connected, or the next message id is still in use
        self._published[sent.mid] = on_acknowledged
        return True

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send the PUBACKs in one write; if the connection is lost, the broker sends the messages again."""
        packets = b"".join([_PUBACK.pack(PUBACK, 2, message.mid) for message in messages if message.qos])
        if packets:
            self._paho._packet_queue(PUBACK, packets, 0, 1)

    async def flush(self) -> None:
        """Wait until the broker has processed all acknowledgements; returns at once if the connection is lost."""
        # The broker answers any request after it has processed what was sent before. This request changes nothing.
        with suppress(aiomqtt.MqttError):
            await self.unsubscribe([_NEVER_SUBSCRIBED])

    @contextmanager
    def _reading_answers(self) -> Iterator[None]:
        """Read the socket inside: the answer to a request arrives through it."""
        self._open_requests += 1
        self.resume()
        try:
            yield
        finally:
            self._open_requests -= 1

    def pause(self) -> None:
        """Stop reading the socket, so that the broker keeps its messages; no effect while a request is open."""
        descriptor = self._descriptor()
        if not self._open_requests and self.reading and descriptor is not None:
            self._loop.remove_reader(descriptor)
            self.reading = False
            self.pauses += 1

    def resume(self) -> None:
        """Read the socket again."""
        descriptor = self._descriptor()
        if not self.reading and descriptor is not None:
            self.reading = True
            self._watch_socket()

    def _watch_socket(self) -> None:
        descriptor = self._descriptor()
        if descriptor is not None:
            self._loop.add_reader(descriptor, self._read)
            # No event announces bytes that the reader or TLS holds already.
            self._loop.call_soon(self._read)

    async def wait_until_lost(self) -> None:
        """Wait until the connection is lost.

        Raises:
            aiomqtt.MqttError: the cause; or that nothing would detect a loss any more.
        """
        disconnected: asyncio.Future[None] = self._client._disconnected
        detecting = {self._polling, self._client._misc_task or self._polling}
        await asyncio.wait({disconnected, *detecting}, return_when=asyncio.FIRST_COMPLETED)
        if disconnected.done():
            disconnected.result()
        ended = next((task for task in detecting if task.done()), None)
        if ended is not None and not ended.cancelled() and ended.exception() is not None:
            raise aiomqtt.MqttError(f"reading the connection failed: {ended.exception()}") from ended.exception()
        raise aiomqtt.MqttError("the broker closed the connection")

    def _descriptor(self) -> int | None:
        socket: Any = self._paho.socket()
        return None if socket is None or socket.fileno() < 0 else socket.fileno()

    async def _poll_socket(self) -> None:
        """Read what remains of a connection that was reset, up to its end.

        After the first error of a socket uvloop reports it once more and then never again. With unread messages before
        the error only the keep-alive would detect the loss, after two minutes.
        """
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            while self.reading and self._is_readable():
                self._read()

    def _is_readable(self) -> bool:
        descriptor = self._descriptor()
        if descriptor is None:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def _read(self) -> None:
        while self.reading:
            if self._reader.read_publish():
                continue
            self._paho.loop_read()
            socket: Any = self._paho.socket()
            if not (self._reader.has_unread or (hasattr(socket, "pending") and socket.pending())):
                return


def _in_requests(filters: Sequence[str]) -> Iterator[Sequence[str]]:
    step = _MAX_FILTERS_PER_REQUEST
    return (filters[start : start + step] for start in range(0, len(filters), step))
