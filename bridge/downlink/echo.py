"""Commands that come back: the bridge subscribes to what it sends, and what the broker delivers it has taken.

The session outlives the bridge, so after a crash or a lost connection this tells what was sent, where nothing else can.
"""

import asyncio
from collections import deque
from functools import partial

import msgspec

from bridge.downlink.command_log import CommandLog
from bridge.downlink.send_policy import COMMAND_TOPIC
from bridge.mqtt.packet_reader import Message
from runtime.supervision import vital
from schemas.mqtt.filters import matches

ECHO_FILTER = COMMAND_TOPIC + "+"


class _Payload(msgspec.Struct):
    correlation_id: str = msgspec.field(name="correlationId")


_decode = msgspec.json.Decoder(_Payload).decode


class Echo:
    """Takes commands that came back as evidence; others may publish there too, and that is passed over."""

    def __init__(self, log: CommandLog) -> None:
        self._log = log
        self._inbox: deque[tuple[str, str, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()

    def take(self, message: Message) -> "asyncio.Future[None] | None":
        """Take a message; done when the log has what it shows, None where it shows nothing."""
        if message.retain:
            return None  # not sent now, whoever sent it
        try:
            correlation_id = _decode(message.payload).correlation_id
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append((correlation_id, message.topic.removeprefix(COMMAND_TOPIC), taken))
        self._arrived.set()
        return taken

    @vital("the echo of commands")
    async def run(self) -> None:
        """Note what came back, for ever; not before it is known what was about to be sent."""
        await self._log.caught_up()
        while True:
            waiting, self._inbox = self._inbox, deque()
            if any(self._log.known.get(correlation_id) is None for correlation_id, _, _ in waiting):
                # Another bridge sent it: its evidence may be on the way.
                await self._log.caught_up()
            for correlation_id, ven_id, taken in waiting:
                known = self._log.known.get(correlation_id)
                noted = self._log.sent(correlation_id, "echo") if known and known.ven_id == ven_id else None
                if noted is None:
                    _done(taken)
                else:
                    noted.add_done_callback(partial(_done, taken))
            self._arrived.clear()
            if not self._inbox:
                await self._arrived.wait()


def is_echo(topic: str) -> bool:
    """Whether a message of this topic may be a command that came back."""
    return topic.startswith(COMMAND_TOPIC) and matches(ECHO_FILTER, topic)


def _done(taken: "asyncio.Future[None]", _noted: object = None) -> None:
    if not taken.done():
        taken.set_result(None)
