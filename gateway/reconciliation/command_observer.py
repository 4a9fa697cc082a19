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


class Seen(NamedTuple):
    """A command as it went out; the time is Unix seconds."""

    at: float
    ven_id: str
    op: str
    payload: dict[str, Any]


class Wire:
    """What went out to any VEN, in the order of its arrival.

    What the broker says it delivers again, and is the very same message, went out once.
    """

    def __init__(self) -> None:
        self.listening = asyncio.Event()
        self._seen: defaultdict[str | None, list[Seen]] = defaultdict(list)
        self._number: Counter[tuple[str | None, str]] = Counter()
        self._heard: set[tuple[str, bytes]] = set()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Event]] = []

    def hear(self, topic: str, payload: bytes, redelivered: bool) -> None:  # noqa: FBT001 - as MQTT has it
        """Take a message."""
        if topic == _TRIAL:
            self.listening.set()
            return
        if redelivered and (topic, payload) in self._heard:
            return
        self._heard.add((topic, payload))
        document = msgspec.json.decode(payload)
        event_id = document.get("event_id")
        self._seen[event_id].append(Seen(time.time(), topic.removeprefix(_PREFIX), document["op"], document))
        self._number[event_id, document["op"]] += 1
        for holds, reached in self._watchers:
            if holds():
                reached.set()

    def of(self, event_id: str, op: str) -> list[Seen]:
        """Return the commands of an event with this op."""
        return [seen for seen in self._seen[event_id] if seen.op == op]

    def times(self, event_id: str) -> Counter[tuple[str, str]]:
        """Return how many commands of an event went out, by VEN and op."""
        return Counter((seen.ven_id, seen.op) for seen in self._seen[event_id])

    async def reaches(self, event_id: str, op: str, number: int, seconds: float) -> bool:
        """Wait until so many commands of an event went out; returns in the moment of the last one."""
        return await self._until(lambda: self._number[event_id, op] >= number, seconds)

    async def reaches_all(self, event_id: str, op: str, ven_ids: Collection[str], seconds: float) -> bool:
        """Wait until each of these VENs was sent such a command of an event."""
        wanted = {(ven_id, op) for ven_id in ven_ids}
        return await self._until(lambda: wanted <= self.times(event_id).keys(), seconds)

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
async def wire(host: str, port: int, name: str = "gateway-wire") -> AsyncIterator[Wire]:
    """Have one inside, of which it is certain that it hears; `name` is its MQTT client id.

    Raises:
        TimeoutError: the broker does not let it hear.
        BrokerRefusedError: the broker does not let it in.
    """
    listener = Wire()
    async with Publisher(host, port, name, subscribe=[_PREFIX + "+"], heard=listener.hear) as connection:
        await connection.room()
        # The broker takes the subscription before what is published after it.
        connection.send(_TRIAL, b"", lambda: None)
        async with asyncio.timeout(_HEARS_SECONDS):
            await listener.listening.wait()
        yield listener
