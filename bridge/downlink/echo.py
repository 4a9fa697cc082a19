"""Echoes: the bridge subscribes to the commands that it sends; the broker has every command that it delivers.

The MQTT session outlives the bridge. After a crash or a lost connection an echo proves what was sent, which nothing
else can prove.
"""

import asyncio
from collections import deque
from functools import partial

import msgspec

from bridge.downlink.command_log import CommandLog
from bridge.mqtt.packet_reader import Message
from runtime.supervision import vital
from schemas.mqtt.filters import matches
from schemas.mqtt.routing import COMMAND_TOPIC

ECHO_FILTER = COMMAND_TOPIC + "+"


class _Payload(msgspec.Struct):
    correlation_id: str = msgspec.field(name="correlationId")


_decode = msgspec.json.Decoder(_Payload).decode


class Echo:
    """Records echoes as evidence in the command log; ignores messages of other publishers."""

    def __init__(self, log: CommandLog) -> None:
        self._log = log
        self._inbox: deque[tuple[str, str, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()

    def receive(self, message: Message) -> "asyncio.Future[None] | None":
        """Accept a message; the future is done when Kafka has its evidence. None if it proves nothing."""
        if message.retain:
            return None  # retained messages were sent at another time
        try:
            correlation_id = _decode(message.payload).correlation_id
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append((correlation_id, message.topic.removeprefix(COMMAND_TOPIC), recorded))
        self._arrived.set()
        return recorded

    @vital("the echo of commands")
    async def run(self) -> None:
        """Record echoes, for ever; the claims in the command log are read first."""
        await self._log.catch_up()
        while True:
            echoes, self._inbox = self._inbox, deque()
            if any(self._log.index.get(correlation_id) is None for correlation_id, _, _ in echoes):
                # Another bridge sent it: its claim may not have been read yet.
                await self._log.catch_up()
            for correlation_id, ven_id, recorded in echoes:
                status = self._log.index.get(correlation_id)
                stored = self._log.record_sent(correlation_id, "echo") if status and status.ven_id == ven_id else None
                if stored is None:
                    _resolve(recorded)
                else:
                    stored.add_done_callback(partial(_resolve, recorded))
            self._arrived.clear()
            if not self._inbox:
                await self._arrived.wait()


def is_echo(topic: str) -> bool:
    """Whether a message of this topic may be an echo."""
    return topic.startswith(COMMAND_TOPIC) and matches(ECHO_FILTER, topic)


def _resolve(recorded: "asyncio.Future[None]", _stored: object = None) -> None:
    if not recorded.done():
        recorded.set_result(None)
