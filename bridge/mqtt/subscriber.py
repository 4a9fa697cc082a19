"""Which filters our session at the broker is subscribed to: those of the settings, and no more.

The broker keeps a session's subscriptions, and MQTT cannot list them. So each change is written to the subscription
store: before a SUBSCRIBE is sent, and after an UNSUBSCRIBE is confirmed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from bridge.mqtt.connection import Connection
from bridge.mqtt.subscription_store import SubscriptionStore
from schemas.mqtt.filters import covers, matches, uncovered
from schemas.mqtt.routing import Routes

logger = logging.getLogger(__name__)

_SILENCE_SECONDS = 1.0
"""If no message of a filter arrives for so long, the broker has none queued."""
_MAX_SILENCE_CHECKS = 30
# Some brokers close the connection over a request that they do not allow. After so many losses it is not sent again.
_MAX_LOSSES = 3


class Subscriber:
    """Subscribes and unsubscribes on the connection of the moment; used for all connections of a session."""

    def __init__(
        self,
        client_id: str,
        routes: Routes,
        store: SubscriptionStore,
        *,
        echo_filter: str,
        subscribe_echo: bool,
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        """Describe it.

        `echo_filter` matches the commands that this bridge sends; it is subscribed to if `subscribe_echo`. `flush`
        waits until Kafka has stored all messages received so far.
        """
        self._client_id = client_id
        self._routes = routes
        self._store = store
        self._echo_filter = echo_filter
        self._subscribe_echo = subscribe_echo
        self._flush = flush
        self._losses_by_unsubscribe = 0
        self._losses_by_echo = 0
        self._echo_refused = False
        self._draining: list[str] = []
        self._drained_messages = 0
        self.granted: set[str] = set()
        """The filters that the broker granted on this connection."""

    def note(self, topic: str) -> None:
        """Note that a message has arrived."""
        if self._draining and any(matches(name, topic) for name in self._draining):
            self._drained_messages += 1

    def end_connection(self) -> None:
        """Note that the connection has ended."""
        self._draining = []

    def wants(self, topic: str) -> bool:
        """Whether the settings ask for a command topic themselves, or did and its messages are still queued."""
        names = [entry.filter for entry in self._store.list.filters if entry.subscribed]
        return any(matches(name, topic) for name in names if name != self._echo_filter or name in self._routes.kinds)

    async def subscribe(self, connection: Connection) -> set[str]:
        """Subscribe to all filters of the settings; return those that the broker refuses."""
        refused: set[str] = set()
        requested: set[str] = set()
        while filters := [name for name in self._wanted(refused) if name not in requested]:
            await self._store.write(self._store.list.subscribed(filters))
            requested.update(filters)
            # If a wide filter is refused, the narrower ones that it covers may still be allowed.
            refused.update(await connection.subscribe(filters))
        self.granted = requested - refused
        for name in sorted(refused):
            logger.error(
                "the broker refused the subscription to %s; allow it for the client %s in the broker's ACL",
                name,
                self._client_id,
                extra={"action": "mqtt_subscription_refused"},
            )
        return refused

    async def subscribe_to_echo(self, connection: Connection, refused: Iterable[str]) -> None:
        """Subscribe to the commands that the bridge sends, or end that subscription, as the settings say.

        The store does not list this filter, because its messages do not go to Kafka.
        """
        wanted = self._wanted(refused)
        if self._echo_filter in wanted:
            return
        echo_refused = self._losses_by_echo >= _MAX_LOSSES
        if not echo_refused:
            self._losses_by_echo += 1
            if self._subscribe_echo and not any(covers(name, self._echo_filter) for name in wanted):
                echo_refused = bool(await connection.subscribe([self._echo_filter]))
            else:
                await connection.unsubscribe([self._echo_filter])
            self._losses_by_echo = 0
        if echo_refused and not self._echo_refused:
            logger.warning(
                "the broker refuses the subscription to %s, so after a crash only acks and samples prove which "
                "commands were sent; allow it for the client %s in the broker's ACL, or set BRIDGE_COMMAND_ECHO=false",
                self._echo_filter,
                self._client_id,
                extra={"action": "mqtt_echo_refused"},
            )
        self._echo_refused = echo_refused

    async def unsubscribe_former(self, connection: Connection, refused: set[str]) -> None:
        """Unsubscribe from what our session may have and the settings do not, after its messages have arrived."""
        kept = refused.union(self._wanted(refused))
        if self._subscribe_echo:
            kept.add(self._echo_filter)
        former = [entry for entry in self._store.list.filters if entry.filter not in kept]
        # Confirmed before; but a broker that was killed or restored may have forgotten it.
        await self._unsubscribe(connection, [entry.filter for entry in former if not entry.subscribed])
        leaving = [entry.filter for entry in former if entry.subscribed]
        if leaving:
            await self._drain(connection, leaving)
            if await self._unsubscribe(connection, leaving):
                await self._store.write(self._store.list.unsubscribed(leaving))
                logger.info("unsubscribed from %s", ", ".join(leaving), extra={"action": "mqtt_unsubscribed"})

    def _wanted(self, refused: Iterable[str]) -> list[str]:
        return uncovered(name for name in self._routes.kinds if name not in refused)

    async def _drain(self, connection: Connection, filters: list[str]) -> None:
        """Wait until the broker has no message queued for these filters; some brokers drop them with the subscription.

        If publishers go on there is no silence; then the wait ends after a fixed number of checks.
        """
        self._draining = filters
        for _ in range(_MAX_SILENCE_CHECKS):
            # Silence on an unread socket proves nothing: it has to be read during the whole check.
            await self._flush()
            reading, before = connection.reading, (self._drained_messages, connection.pauses)
            await asyncio.sleep(_SILENCE_SECONDS)
            if reading and before == (self._drained_messages, connection.pauses):
                break
        # The broker may also drop received messages without a PUBACK, so wait until Kafka has them.
        await self._flush()
        self._draining = []

    async def _unsubscribe(self, connection: Connection, filters: list[str]) -> bool:
        """Unsubscribe; False if the broker has closed the connection over it too often."""
        if not filters:
            return True
        if self._losses_by_unsubscribe >= _MAX_LOSSES:
            logger.warning(
                "the broker may still send messages for %s: it closes the connection at the UNSUBSCRIBE; remove the "
                "session of the client %s at the broker, or set another MQTT_CLIENT_ID",
                ", ".join(filters),
                self._client_id,
                extra={"action": "mqtt_unsubscribe_failed"},
            )
            return False
        self._losses_by_unsubscribe += 1
        await connection.unsubscribe(filters)
        self._losses_by_unsubscribe = 0
        return True
