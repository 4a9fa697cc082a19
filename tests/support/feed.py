"""A client of the feed, for tests."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx


class FeedEvent(NamedTuple):
    """One event of the stream."""

    id: str
    kind: str
    data: Any


class Feed:
    """Reads the stream; keeps all it read, and the comments."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.events: list[FeedEvent] = []
        self.comments: list[str] = []

    async def next(self) -> FeedEvent:
        """Wait for the next event."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "":
                self.comments.append(value)
            elif line and name != "retry":
                fields[name] = value
            if not line and "event" in fields:
                item = FeedEvent(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
                self.events.append(item)
                return item
            if not line:
                fields = {}
        raise EOFError("the feed has ended")

    async def until(self, wanted: Callable[[FeedEvent], bool]) -> FeedEvent:
        """Wait for an event that is wanted; those before it are kept, too."""
        while not wanted(item := await self.next()):
            pass
        return item

    async def has(self, wanted: Callable[[FeedEvent], bool]) -> None:
        """Wait for an event that is wanted, unless there was one."""
        if not any(map(wanted, self.events)):
            await self.until(wanted)


@asynccontextmanager
async def feed(client: httpx.AsyncClient, last_seen: str | None = None, **query: str) -> AsyncIterator[Feed]:
    """Follow the feed inside."""
    headers = {} if last_seen is None else {"Last-Event-ID": last_seen}
    async with client.stream("GET", "/api/feed", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield Feed(answer.aiter_lines())
