"""One client of the live feed: the bounded queue of what is still to be sent to it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from api.auth.principal import ANONYMOUS, Principal
from api.sse.messages import FeedFilter

RETRY_HINT = b"retry: 2000\n\n"
CHUNK_BYTES = 65_536


class Client:
    """`abort` closes the connection at once, whatever is still to be sent."""

    def __init__(
        self,
        filters: FeedFilter,
        max_queued: int,
        abort: Callable[[], object],
        first: Iterable[bytes] = (RETRY_HINT,),
        principal: Principal = ANONYMOUS,
    ) -> None:
        self.filters = filters
        self.principal = principal
        self.valid_at = time.monotonic()
        """When its key was last known to be valid."""
        self.closed = False
        self._max_queued = max_queued
        self.abort = abort
        # What it gets first may exceed the queue's limit, which does not mean that it is slow.
        self._first = deque(first)
        self._queue: deque[bytes] = deque()
        self._available = asyncio.Event()

    def offer(self, part: bytes) -> bool:
        """Queue a message. If the queue is full, close the connection and return False."""
        if len(self._queue) >= self._max_queued:
            self.close()
            self.abort()
            return False
        self._queue.append(part)
        self._available.set()
        return True

    async def next_chunk(self) -> bytes:
        """Wait for messages and return some of them joined; return b"" once the client is closed."""
        if not (self._first or self._queue or self.closed):
            self._available.clear()
            await self._available.wait()
        if self.closed:
            return b""
        parts: list[bytes] = []
        size = 0
        # In chunks: after a restart many clients get the same bytes, and a joined copy for each would need gigabytes.
        while (source := self._first or self._queue) and size < CHUNK_BYTES:
            parts.append(source.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        """End the response; what is queued is dropped."""
        self.closed = True
        self._first.clear()
        self._queue.clear()
        self._available.set()
