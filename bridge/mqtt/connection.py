"""One MQTT connection that acknowledges when it is told to, and whose socket can be left unread.

aiomqtt acknowledges a message before anybody has processed it and has no public way around that, so this file, and no
other but receiving.py, reaches for the paho client below it: acknowledgements by us, our own on_publish, and the
socket's reader.
"""

import asyncio
import select
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho

from bridge.mqtt.packet_reader import Message, Receiving
from bridge.mqtt.tls import tls_context
from schemas.settings.mqtt import MqttSettings

_SUBACK_FAILURE = 0x80
_QOS = 1
# AWS IoT Core takes no more in one request.
_FILTERS_A_REQUEST = 8
# How often to look whether the socket holds something that no event announced.
_LOOK_SECONDS = 1.0
PUBACK = 0x40
_PUBACK = struct.Struct("!BBH")
_NEVER_SUBSCRIBED = "gateway/never/subscribed"


class Connection:
    """A connection to the broker under a session that survives it (MQTT 3.1.1, clean session off).

    `on_message` is called in the loop for every message, also for those that arrive before the subscriptions are
    confirmed. A connection is used once; after it is lost, make another.
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
            # No limit of paho's own: above it, it would queue what we take to be on the wire.
            max_inflight_messages=0,
        )
        self._paho = self._client._client  # noqa: SLF001
        self._receiving = Receiving(self._paho, lambda message: on_message(self, message))
        self._paho.on_publish = lambda _client, _userdata, mid, *_: self._published.pop(mid)()
        self._published: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._stack = AsyncExitStack()
        self.reading = True
        self.pauses = 0
        self._requests = 0

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        # Instead of aiomqtt's reader, which takes one packet at a time.
        self._follow_socket()
        self._looking = self._loop.create_task(self._look_again())
        self._stack.callback(self._looking.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def subscribe(self, filters: Sequence[str]) -> list[str]:
        """Subscribe at QoS 1 and return the filters that the broker refused.

        Raises:
            aiomqtt.MqttError: the connection was lost, or the broker did not answer in time.
        """
        refused: list[str] = []
        with self._awaiting_answers():
            for some in _in_requests(filters):
                granted = await self._client.subscribe([(name, _QOS) for name in some])
                codes = [code if isinstance(code, int) else code.value for code in granted]
                refused += [name for name, code in zip(some, codes, strict=True) if code >= _SUBACK_FAILURE]
        return refused

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Take filters out of the session; at return the broker has confirmed it. Unknown ones are nothing special.

        Raises:
            aiomqtt.MqttError: the connection was lost, or the broker did not answer in time.
        """
        with self._awaiting_answers():
            for some in _in_requests(filters):
                await self._client.unsubscribe(list(some))

    def publish(self, topic: str, payload: bytes, on_acknowledged: Callable[[], None]) -> bool:
        """Hand a message to the broker at QoS 1, not retained; False where it is certain that nothing of it goes out.

        `on_acknowledged` is called in the loop when the broker has it. When the connection is lost before that, the
        broker may have it or not; it is not sent again.
        """
        sent = self._paho.publish(topic, payload, qos=_QOS)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            return False  # no connection, or its message ids have come round to one that is still in use
        self._published[sent.mid] = on_acknowledged
        return True

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send the PUBACKs, as one; they go nowhere when the connection is lost, and then the messages come again."""
        packets = b"".join([_PUBACK.pack(PUBACK, 2, message.mid) for message in messages if message.qos])
        if packets:
            self._paho._packet_queue(PUBACK, packets, 0, 1)  # noqa: SLF001

    async def settle(self) -> None:
        """Wait until the broker has processed all acknowledgements; returns at once when the connection is lost."""
        # Any request will do, for its answer comes after what was sent before it. This one changes nothing.
        with suppress(aiomqtt.MqttError):
            await self.unsubscribe([_NEVER_SUBSCRIBED])

    @contextmanager
    def _awaiting_answers(self) -> Iterator[None]:
        """Read on inside: the answer to a request comes through the same socket."""
        self._requests += 1
        self.resume()
        try:
            yield
        finally:
            self._requests -= 1

    def pause(self) -> None:
        """Leave the socket unread, so that the broker holds back what it has; not while a request is unanswered."""
        descriptor = self._descriptor()
        if not self._requests and self.reading and descriptor is not None:
            self._loop.remove_reader(descriptor)
            self.reading = False
            self.pauses += 1

    def resume(self) -> None:
        """Read the socket again."""
        descriptor = self._descriptor()
        if not self.reading and descriptor is not None:
            self.reading = True
            self._follow_socket()

    def _follow_socket(self) -> None:
        descriptor = self._descriptor()
        if descriptor is not None:
            self._loop.add_reader(descriptor, self._read)
            # What was read already, or TLS has decrypted, no event announces.
            self._loop.call_soon(self._read)

    async def lost(self) -> None:
        """Wait until the connection is lost.

        Raises:
            aiomqtt.MqttError: why it was; or that nobody would notice a loss any more.
        """
        disconnected: asyncio.Future[None] = self._client._disconnected  # noqa: SLF001
        keeping_up = {self._looking, self._client._misc_task or self._looking}  # noqa: SLF001
        await asyncio.wait({disconnected, *keeping_up}, return_when=asyncio.FIRST_COMPLETED)
        if disconnected.done():
            disconnected.result()
        ended = next((task for task in keeping_up if task.done()), None)
        if ended is not None and not ended.cancelled() and ended.exception() is not None:
            raise aiomqtt.MqttError(f"reading the connection failed: {ended.exception()}") from ended.exception()
        raise aiomqtt.MqttError("the broker closed the connection")

    def _descriptor(self) -> int | None:
        socket: Any = self._paho.socket()
        return None if socket is None or socket.fileno() < 0 else socket.fileno()

    async def _look_again(self) -> None:
        """Read what is left of a connection that was reset, up to its end.

        At the first error of a socket uvloop has it read once more and then forgets it: with messages before the error
        the loss would be noticed by the keep-alive only, after two minutes.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
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
            if self._receiving.take_whole():
                continue
            self._paho.loop_read()
            socket: Any = self._paho.socket()
            if not (self._receiving.pending or (hasattr(socket, "pending") and socket.pending())):
                return


def _in_requests(filters: Sequence[str]) -> Iterator[Sequence[str]]:
    return (filters[start : start + _FILTERS_A_REQUEST] for start in range(0, len(filters), _FILTERS_A_REQUEST))
