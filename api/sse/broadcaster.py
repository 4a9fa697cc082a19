"""Sends each message of the live feed to all clients whose filter matches it."""

import asyncio
from collections.abc import Callable, Sequence

from api.auth.principal import ANONYMOUS, Principal
from api.sse.client import RETRY_HINT, Client
from api.sse.message_ids import MessageId, MessageIds, now_micros
from api.sse.messages import TYPES, FeedEntry, FeedFilter, FeedMessage, FeedType, encode, encode_json
from api.sse.replay_buffer import OVERLAP_MICROS, ReplayBuffer
from runtime.metrics import FEED_CLIENTS_CUT_OFF, FEED_ITEMS
from schemas.records.network import MAX_CLOCK_DIFFERENCE

HEARTBEAT = b": heartbeat\n\n"
DISCONNECT_SECONDS = 5.0
"""How long an ended response may take before its connection is closed."""
_MAX_CLOCK_DIFFERENCE_MICROS = round(MAX_CLOCK_DIFFERENCE.total_seconds() * 1e6)


class Broadcaster:
    """All clients, and the last minutes of messages for those that reconnect."""

    def __init__(self, window_seconds: float, max_queued: int) -> None:
        self.replay_buffer = ReplayBuffer(window_seconds)
        self.clients: set[Client] = set()
        self._ids = MessageIds()
        self._max_queued = max_queued
        self._latest: dict[str, FeedMessage] = {}

    def publish(self, kind: FeedType, entries: Sequence[FeedEntry], latest_of: str | None = None) -> None:
        """Send a message to all clients that it matches; new clients get the latest one of each `latest_of`."""
        message = FeedMessage(self._ids.next(), kind, entries, latest_of)
        self.replay_buffer.add(message)
        if latest_of is not None:
            self._latest[latest_of] = message
        FEED_ITEMS.labels(kind).inc()
        for client in tuple(self.clients):
            part = message.part_for(client.filters)
            if part is not None:
                self._offer(client, part)

    def forget_latest(self, latest_of: str) -> None:
        """Do not send the latest message of this name to new clients any more."""
        self._latest.pop(latest_of, None)

    def subscribe(
        self,
        filters: FeedFilter,
        last_id: str | None,
        abort: Callable[[], object],
        principal: Principal = ANONYMOUS,
    ) -> Client:
        """Add a client, which must be unsubscribed later. It gets what it missed since the message `last_id`.

        A new client gets the current state: the totals, and the events that are or recently were open.
        """
        first = [RETRY_HINT, *self._catch_up(filters, last_id)]
        client = Client(filters, self._max_queued, abort, first, principal)
        self.clients.add(client)
        return client

    def unsubscribe(self, client: Client) -> None:
        """Remove a client."""
        client.close()
        self.clients.discard(client)

    def end_session(self, client: Client) -> None:
        """End the response of a client that is not permitted any more; if it does not read, close its connection."""
        client.close()

        def disconnect() -> None:
            if client in self.clients:
                client.abort()
                self.unsubscribe(client)

        asyncio.get_running_loop().call_later(DISCONNECT_SECONDS, disconnect)

    def send_heartbeat(self) -> None:
        """Send a comment to all clients, so that no proxy closes an idle connection."""
        for client in tuple(self.clients):
            self._offer(client, HEARTBEAT)

    def close(self) -> None:
        """End all responses, so that the server can stop."""
        for client in tuple(self.clients):
            self.unsubscribe(client)

    def _offer(self, client: Client, part: bytes) -> None:
        if not client.offer(part):
            self.clients.discard(client)
            FEED_CLIENTS_CUT_OFF.inc()

    def _catch_up(self, filters: FeedFilter, last_id: str | None) -> list[bytes]:
        if not last_id:
            current = sorted(self._latest.values(), key=lambda message: message.id)
            return [part for message in current if (part := message.part_for(filters)) is not None]
        last = MessageId.parse(last_id)
        if last is None or last.micros > now_micros() + self._max_ahead(last):
            return [self._reset([kind for kind in TYPES if kind in filters.types])]
        parts, incomplete = self.replay_buffer.missed(last, self._ids.process, filters)
        return [self._reset(incomplete), *parts] if incomplete else parts

    def _max_ahead(self, last: MessageId) -> int:
        # Our own ids increase even if our clock is set back. If the clock of another process is further ahead than the
        # overlap, what the client missed is unknown.
        return _MAX_CLOCK_DIFFERENCE_MICROS if last.process == self._ids.process else OVERLAP_MICROS

    def _reset(self, types: Sequence[FeedType]) -> bytes:
        # It has an id, so that a client that is disconnected again resumes from here.
        return encode("reset", encode_json({"types": types}), self._ids.next())
