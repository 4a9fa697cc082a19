"""A stranger at the MQTT broker who counts the commands that go out, on a connection of its own that outlives cuts."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from gateway.fleet.publisher import Publisher

_PREFIX = "ven/cmd/"
_TRIAL = _PREFIX + "nobody"
_HEARS_SECONDS = 15.0


class ObservedCommand(NamedTuple):
    """A command as it went out; the time is Unix seconds."""

    at: float
    ven_id: str
    op: str
    payload: dict[str, Any]


class CommandObserver:
    """What went out to any VEN, in the order of its arrival.

    What the broker says it delivers again, and is the very same message, went out once.
    """

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self._commands: defaultdict[str | None, list[ObservedCommand]] = defaultdict(list)
        self._number: Counter[tuple[str | None, str]] = Counter()
        self._payloads: set[tuple[str, bytes]] = set()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Event]] = []

    def record(self, topic: str, payload: bytes, redelivered: bool) -> None:  # noqa: FBT001 - as MQTT has it
        """Take a message."""
        if topic == _TRIAL:
            self.ready.set()
            return
        if redelivered and (topic, payload) in self._payloads:
            return
        self._payloads.add((topic, payload))
        document = msgspec.json.decode(payload)
        event_id = document.get("event_id")
        self._commands[event_id].append(
            ObservedCommand(time.time(), topic.removeprefix(_PREFIX), document["op"], document)
        )
        self._number[event_id, document["op"]] += 1
        for holds, reached in self._watchers:
            if holds():
                reached.set()

    def commands(self, event_id: str, op: str) -> list[ObservedCommand]:
        """Return the commands of an event with this op."""
        return [seen for seen in self._commands[event_id] if seen.op == op]

    def counts(self, event_id: str) -> Counter[tuple[str, str]]:
        """Return how many commands of an event went out, by VEN and op."""
        return Counter((seen.ven_id, seen.op) for seen in self._commands[event_id])

    async def wait_for_count(self, event_id: str, op: str, number: int, seconds: float) -> bool:
        """Wait until so many commands of an event went out; returns in the moment of the last one."""
        return await self._until(lambda: self._number[event_id, op] >= number, seconds)

    async def wait_for_vens(self, event_id: str, op: str, ven_ids: Collection[str], seconds: float) -> bool:
        """Wait until each of these VENs was sent such a command of an event."""
        wanted = {(ven_id, op) for ven_id in ven_ids}
        return await self._until(lambda: wanted <= self.counts(event_id).keys(), seconds)

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        if holds():
            return True
        watcher = (holds, asyncio.Event())
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(seconds):
                await watcher[1].wait()
        except TimeoutError:
            return False
        finally:
            self._watchers.remove(watcher)
        return True


@asynccontextmanager
async def observe_commands(host: str, port: int, name: str = "gateway-wire") -> AsyncIterator[CommandObserver]:
    """Have one inside, of which it is certain that it hears; `name` is its MQTT client id.

    Raises:
        TimeoutError: the broker does not let it hear.
        BrokerRefusedError: the broker does not let it in.
    """
    listener = CommandObserver()
    async with Publisher(host, port, name, subscribe=[_PREFIX + "+"], heard=listener.record) as connection:
        await connection.wait_for_capacity()
        # The broker takes the subscription before what is published after it.
        connection.send(_TRIAL, b"", lambda: None)
        async with asyncio.timeout(_HEARS_SECONDS):
            await listener.ready.wait()
        yield listener
