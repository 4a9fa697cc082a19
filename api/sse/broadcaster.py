"""From the follower to the clients: an item is encoded once, and handed to whoever wants it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from api.auth.principal import ANONYMOUS, Principal
from api.sse.message_ids import MessageId, MessageIds, now_micros
from api.sse.messages import TYPES, FeedEntry, FeedFilter, FeedMessage, FeedType, encode, encode_json
from api.sse.replay_buffer import OVERLAP_MICROS, ReplayBuffer
from runtime.metrics import FEED_CLIENTS_CUT_OFF, FEED_ITEMS
from schemas.records.network import MAX_CLOCK_DIFFERENCE

HEARTBEAT = b": still here\n\n"
GREETING = b"retry: 2000\n\n"
PORTION_BYTES = 65_536
EXPELLED_SECONDS = 5.0
"""How long the end of an answer may take whose client may hear no more."""
_CLOCKS_APART_MICROS = round(MAX_CLOCK_DIFFERENCE.total_seconds() * 1e6)


class Client:
    """What waits for one client; `abort` closes its connection at once, whatever is still to be written."""

    def __init__(
        self,
        wanted: FeedFilter,
        most: int,
        abort: Callable[[], object],
        first: Iterable[bytes] = (GREETING,),
        who: Principal = ANONYMOUS,
    ) -> None:
        self.wanted = wanted
        self.who = who
        self.valid_at = time.monotonic()
        """When its key was last known to hold."""
        self.closed = False
        self._most = most
        self.abort = abort
        # What it is told first may be more items than may wait, and is no sign that it does not read.
        self._first = deque(first)
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()

    def offer(self, part: bytes) -> bool:
        """Put something up for it; False when it had not taken enough of what came before, and was cut off."""
        if len(self._waiting) >= self._most:
            self.close()
            self.abort()
            return False
        self._waiting.append(part)
        self._news.set()
        return True

    async def take(self) -> bytes:
        """Wait for something, and return what there is, some at a time; nothing at all once it is closed."""
        if not (self._first or self._waiting or self.closed):
            self._news.clear()
            await self._news.wait()
        if self.closed:
            return b""
        taken: list[bytes] = []
        size = 0
        # What is missed is the same bytes for all who come back at once; a copy for each would take gigabytes.
        while (waiting := self._first or self._waiting) and size < PORTION_BYTES:
            taken.append(waiting.popleft())
            size += len(taken[-1])
        return b"".join(taken)

    def close(self) -> None:
        """Let it end; what waits is dropped."""
        self.closed = True
        self._first.clear()
        self._waiting.clear()
        self._news.set()


class Broadcaster:
    """Everybody who listens, and the last minutes for those who come back."""

    def __init__(self, window_seconds: float, queue_items: int) -> None:
        self.replay_buffer = ReplayBuffer(window_seconds)
        self.clients: set[Client] = set()
        self._ids = MessageIds()
        self._queue_items = queue_items
        self._latest: dict[str, FeedMessage] = {}

    def publish(self, kind: FeedType, entries: Sequence[FeedEntry], latest_of: str | None = None) -> None:
        """Tell everybody who wants to know."""
        item = FeedMessage(self._ids.next(), kind, entries, latest_of)
        self.replay_buffer.add(item)
        if latest_of is not None:
            self._latest[latest_of] = item
        FEED_ITEMS.labels(kind).inc()
        for client in tuple(self.clients):
            part = item.for_(client.wanted)
            if part is not None and not client.offer(part):
                self.clients.discard(client)
                FEED_CLIENTS_CUT_OFF.inc()

    def forget(self, latest_of: str) -> None:
        """Tell no newcomer of this any longer."""
        self._latest.pop(latest_of, None)

    def join(
        self, wanted: FeedFilter, last_seen: str | None, abort: Callable[[], object], who: Principal = ANONYMOUS
    ) -> Client:
        """Take a client in, with what it missed since the id it saw last; it has to leave, too.

        A newcomer is told how things stand: the totals, and each event that is or was lately open.
        """
        client = Client(wanted, self._queue_items, abort, [GREETING, *self._catch_up(wanted, last_seen)], who)
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Let a client go."""
        client.close()
        self.clients.discard(client)

    def end_feed(self, client: Client) -> None:
        """End the answer of a client that may hear no more; where it does not read, its connection."""
        client.close()

        def unless_gone() -> None:
            if client in self.clients:
                client.abort()
                self.leave(client)

        asyncio.get_running_loop().call_later(EXPELLED_SECONDS, unless_gone)

    def beat(self) -> None:
        """Send everybody a comment, so that nobody in between takes a quiet feed for a dead one."""
        for client in tuple(self.clients):
            if not client.offer(HEARTBEAT):
                self.clients.discard(client)
                FEED_CLIENTS_CUT_OFF.inc()

    def close(self) -> None:
        """End all answers, so that the server can stop."""
        for client in tuple(self.clients):
            self.leave(client)

    def _catch_up(self, wanted: FeedFilter, last_seen: str | None) -> list[bytes]:
        if not last_seen:
            standing = sorted(self._latest.values(), key=lambda item: item.id)
            return [part for item in standing if (part := item.for_(wanted)) is not None]
        last = MessageId.parse(last_seen)
        if last is None or last.micros > now_micros() + self._most_ahead(last):
            return [self._reset([kind for kind in TYPES if kind in wanted.types])]
        parts, unknown = self.replay_buffer.missed(last, self._ids.process, wanted)
        return [self._reset(unknown), *parts] if unknown else parts

    def _most_ahead(self, last: MessageId) -> int:
        # Our own ids go on when our clock is set back. By a clock that is farther ahead of ours than what is told again
        # nobody can say what was missed.
        return _CLOCKS_APART_MICROS if last.process == self._ids.process else OVERLAP_MICROS

    def _reset(self, types: Sequence[FeedType]) -> bytes:
        # With an id of now: who is cut off once more goes on from here.
        return encode("reset", encode_json({"types": types}), self._ids.next())
