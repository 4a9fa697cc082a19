"""An independent MQTT subscriber that records every command the gateway sends.

It has a connection of its own, which survives the faults that a test injects elsewhere.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from gateway.fleet.publisher import Publisher
from schemas.mqtt.routing import COMMAND_TOPIC

_PROBE_TOPIC = COMMAND_TOPIC + "nobody"
_SUBSCRIBE_SECONDS = 15.0


class ObservedCommand(NamedTuple):
    """A command as it was sent; `at` is in Unix seconds."""

    at: float
    ven_id: str
    op: str
    payload: dict[str, Any]


class CommandObserver:
    """The commands of all VENs, in the order of their arrival.

    A message that the broker marks as redelivered, and that was recorded before, counts once.
    """

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self._commands: defaultdict[str | None, list[ObservedCommand]] = defaultdict(list)
        self._number: Counter[tuple[str | None, str]] = Counter()
        self._payloads: set[tuple[str, bytes]] = set()
        self._waiters: list[tuple[Callable[[], bool], asyncio.Event]] = []

    def record(self, topic: str, payload: bytes, redelivered: bool) -> None:  # noqa: FBT001 - the publisher's callback
        """Record a message."""
        if topic == _PROBE_TOPIC:
            self.ready.set()
            return
        if redelivered and (topic, payload) in self._payloads:
            return
        self._payloads.add((topic, payload))
        document = msgspec.json.decode(payload)
        event_id = document.get("event_id")
        command = ObservedCommand(time.time(), topic.removeprefix(COMMAND_TOPIC), document["op"], document)
        self._commands[event_id].append(command)
        self._number[event_id, command.op] += 1
        for condition, reached in self._waiters:
            if condition():
                reached.set()

    def commands(self, event_id: str, op: str) -> list[ObservedCommand]:
        """Return the commands of an event with this op."""
        return [command for command in self._commands[event_id] if command.op == op]

    def counts(self, event_id: str) -> Counter[tuple[str, str]]:
        """Return the number of commands of an event, by VEN and op."""
        return Counter((command.ven_id, command.op) for command in self._commands[event_id])

    async def wait_for_count(self, event_id: str, op: str, number: int, seconds: float) -> bool:
        """Wait until `number` commands of an event were sent; return as soon as the last one arrives."""
        return await self._wait(lambda: self._number[event_id, op] >= number, seconds)

    async def wait_for_vens(self, event_id: str, op: str, ven_ids: Collection[str], seconds: float) -> bool:
        """Wait until each of these VENs was sent a command of an event with this op."""
        wanted = {(ven_id, op) for ven_id in ven_ids}
        return await self._wait(lambda: wanted <= self.counts(event_id).keys(), seconds)

    async def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        if condition():
            return True
        waiter = (condition, asyncio.Event())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter[1].wait()
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return True


@asynccontextmanager
async def observe_commands(host: str, port: int, name: str = "gateway-observer") -> AsyncIterator[CommandObserver]:
    """Observe commands inside the block; `name` is the MQTT client id. The subscription is active on entry.

    Raises:
        TimeoutError: the broker did not confirm the subscription.
        BrokerRefusedError: the broker refused the connection.
    """
    observer = CommandObserver()
    async with Publisher(host, port, name, subscribe=[COMMAND_TOPIC + "+"], on_message=observer.record) as connection:
        await connection.wait_for_capacity()
        # The broker handles packets in order, so the probe arrives only when the subscription is active.
        connection.send(_PROBE_TOPIC, b"", lambda: None)
        async with asyncio.timeout(_SUBSCRIBE_SECONDS):
            await observer.ready.wait()
        yield observer
