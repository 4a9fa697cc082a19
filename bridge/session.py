"""The session with the MQTT broker: connected again and again, subscribed to what the settings say and no more."""

import asyncio
import logging
from collections.abc import Iterable

import aiomqtt

from bridge.downlink.downlink import Downlink
from bridge.downlink.echo import ECHO_FILTER, Echo, is_echo
from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message
from bridge.mqtt.subscription_store import Recollection
from bridge.mqtt.tls_diagnosis import diagnose_mqtt_tls
from bridge.uplink.uplink import Uplink
from runtime.backoff import Backoff
from runtime.supervision import vital
from schemas.mqtt.filters import covers, matches, uncovered
from schemas.mqtt.routing import Routes
from schemas.settings.blocks import SettingsError
from schemas.settings.mqtt import MqttSettings

logger = logging.getLogger(__name__)

# A connection that held this long was a good one: the next loss starts with a short wait again.
_GOOD_AFTER_SECONDS = 30
# Silence after which nothing is queued any more for a filter that leaves, and how often we listen for it.
_SILENCE_SECONDS = 1.0
_MOST_LISTENING = 30
# So many connections in a row may be lost over an UNSUBSCRIBE; then we do without.
_MOST_LOST = 3


class Session:
    """Keeps one connection up, each time a new one: a used client holds stale state.

    `ready` when the broker has confirmed all subscriptions and the end of those that left the settings.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        routes: Routes,
        uplink: Uplink,
        recollection: Recollection,
        downlink: Downlink,
        echo: Echo,
        *,
        listens: bool,
    ) -> None:
        """Describe it; `listens`: whether to subscribe to the commands that are sent."""
        self._mqtt = mqtt
        self._routes = routes
        self._uplink = uplink
        self._recollection = recollection
        self._downlink = downlink
        self._echo = echo
        self._listens = listens
        self._subscribed = False
        self._lost_over_unsubscribing = 0
        self._lost_over_listening = 0
        self._denied = False
        self._leaving: list[str] = []
        self._heard_of_leaving = 0
        self._was_let_in = False
        self.ready = False

    @vital("the MQTT session")
    async def run(self) -> None:
        """Stay connected, for ever.

        Raises:
            KafkaError: the log refused the list of subscriptions for good.
            SettingsError: at the start, certificates or keys are wrong, ours or the broker's.
        """
        backoff = Backoff(max_seconds=15)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._connect()
            except (aiomqtt.MqttError, SettingsError) as error:
                why = await self._over_certificates(error)
                if why is not None and not self._was_let_in:
                    raise SettingsError(why) from None
                hint = f"; is another client connected as {self._mqtt.mqtt_client_id}?" if self._subscribed else ""
                logger.warning("no MQTT connection: %s%s", why or error, hint, extra={"action": "mqtt_lost"})
            finally:
                self._subscribed = self.ready = False
                self._leaving = []
            if loop.time() - started > _GOOD_AFTER_SECONDS:
                backoff.reset()
            await backoff.wait()

    async def _over_certificates(self, error: Exception) -> str | None:
        """Say what is wrong with TLS, where that is why there is no connection; None where it is not.

        Before the first connection that waits for a person; later it may pass by itself, when files are renewed.
        """
        if isinstance(error, SettingsError):
            return str(error)
        if self._subscribed:
            return None
        try:
            refused = await diagnose_mqtt_tls(self._mqtt)
        except SettingsError as wrong:
            return str(wrong)
        return None if refused is None else f"{self._mqtt.mqtt_host}:{self._mqtt.mqtt_port}: {refused}"

    async def _connect(self) -> None:
        connection = Connection(self._mqtt, self._take)
        # Before connecting: with a session in place, messages arrive together with the broker's first answer.
        self._uplink.use(connection)
        async with connection:
            self._was_let_in = True
            refused = await self._subscribe(connection)
            await self._listen(connection, refused)
            self._downlink.use(connection)
            lost = asyncio.ensure_future(connection.lost())
            leave = asyncio.ensure_future(self._leave(connection, refused))
            try:
                await asyncio.wait({lost, leave}, return_when=asyncio.FIRST_COMPLETED)
                if leave.done():
                    leave.result()
                    self.ready = not refused
                await lost
            finally:
                self._downlink.lose()
                leave.cancel()
                lost.cancel()
                await asyncio.gather(leave, lost, return_exceptions=True)

    def _take(self, connection: Connection, message: Message) -> None:
        topic = message.topic
        if self._leaving and any(matches(name, topic) for name in self._leaving):
            self._heard_of_leaving += 1
        if not is_echo(topic):
            self._uplink.take(connection, message)
            return
        noted = self._echo.take(message)
        if self._is_asked_for(topic):
            self._uplink.take(connection, message, noted)
        else:
            self._uplink.hold(connection, message, noted)

    def _is_asked_for(self, topic: str) -> bool:
        """Whether the settings name the commands themselves, or did and some are queued; these go to the log too."""
        names = [entry.filter for entry in self._recollection.list.filters if entry.subscribed]
        return any(matches(name, topic) for name in names if name != ECHO_FILTER or name in self._routes.kinds)

    async def _listen(self, connection: Connection, refused: Iterable[str]) -> None:
        """Subscribe to the commands that are sent, or take the subscription of another time back.

        It is not in the list of subscriptions, for nothing that comes of it goes to the log.
        """
        wanted = self._wanted(refused)
        if ECHO_FILTER in wanted:
            return
        # Some brokers close the connection over what they do not allow.
        denied = self._lost_over_listening >= _MOST_LOST
        if not denied:
            self._lost_over_listening += 1
            if self._listens and not any(covers(name, ECHO_FILTER) for name in wanted):
                denied = bool(await connection.subscribe([ECHO_FILTER]))
            else:
                await connection.unsubscribe([ECHO_FILTER])
            self._lost_over_listening = 0
        if denied and not self._denied:
            logger.warning(
                "the broker refuses the subscription to %s, so after a crash only acknowledgements and samples show "
                "what was sent; allow it for the client %s in the broker's ACL, or set BRIDGE_COMMAND_ECHO=false",
                ECHO_FILTER,
                self._mqtt.mqtt_client_id,
                extra={"action": "mqtt_echo_refused"},
            )
        self._denied = denied

    async def _subscribe(self, connection: Connection) -> set[str]:
        """Subscribe to all filters of the settings and return what the broker refuses."""
        refused: set[str] = set()
        asked: set[str] = set()
        while filters := [name for name in self._wanted(refused) if name not in asked]:
            await self._recollection.write(self._recollection.list.subscribing(filters))
            asked.update(filters)
            # Where a wide filter is refused, the narrower ones that it covers may still be allowed.
            refused.update(await connection.subscribe(filters))
        for name in sorted(refused):
            logger.error(
                "the broker refused the subscription to %s; allow it for the client %s in the broker's ACL",
                name,
                self._mqtt.mqtt_client_id,
                extra={"action": "mqtt_subscription_refused"},
            )
        self._subscribed = not refused
        logger.info(
            "connected to %s:%d, %d subscriptions",
            self._mqtt.mqtt_host,
            self._mqtt.mqtt_port,
            len(asked - refused),
            extra={"action": "mqtt_connected"},
        )
        return refused

    def _wanted(self, refused: Iterable[str]) -> list[str]:
        return uncovered(name for name in self._routes.kinds if name not in refused)

    async def _leave(self, connection: Connection, refused: set[str]) -> None:
        """Unsubscribe what the broker may still have in our session and should not."""
        kept = refused.union(self._wanted(refused))
        if self._listens:
            kept.add(ECHO_FILTER)
        others = [entry for entry in self._recollection.list.filters if entry.filter not in kept]
        # Confirmed before; but a broker that was killed, or restored, may have forgotten it.
        await self._unsubscribe(connection, [entry.filter for entry in others if not entry.subscribed])
        leaving = [entry.filter for entry in others if entry.subscribed]
        if leaving:
            await self._hear_out(connection, leaving)
            if await self._unsubscribe(connection, leaving):
                await self._recollection.write(self._recollection.list.unsubscribed(leaving))
                logger.info("unsubscribed from %s", ", ".join(leaving), extra={"action": "mqtt_unsubscribed"})

    async def _hear_out(self, connection: Connection, leaving: list[str]) -> None:
        """Wait until the broker has nothing queued for these filters: some brokers drop it with the subscription.

        Where others go on publishing to them there is no silence; that ends after a time in which the log was up.
        """
        self._leaving = leaving
        for _ in range(_MOST_LISTENING):
            # An unread socket is silent too. It is read from here on, or it was not and we listen once more.
            await self._uplink.caught_up()
            reading, before = connection.reading, (self._heard_of_leaving, connection.pauses)
            await asyncio.sleep(_SILENCE_SECONDS)
            if reading and before == (self._heard_of_leaving, connection.pauses):
                break
        # What was taken goes with the subscription too, unless it is in the log.
        await self._uplink.caught_up()
        self._leaving = []

    async def _unsubscribe(self, connection: Connection, filters: list[str]) -> bool:
        """Unsubscribe; False where the broker has closed the connection over it too often."""
        if not filters:
            return True
        if self._lost_over_unsubscribing >= _MOST_LOST:
            logger.warning(
                "the broker may still send what matches %s: unsubscribing loses the connection; remove the session of "
                "the client %s at the broker, or set another MQTT_CLIENT_ID",
                ", ".join(filters),
                self._mqtt.mqtt_client_id,
                extra={"action": "mqtt_unsubscribing_failed"},
            )
            return False
        self._lost_over_unsubscribing += 1
        await connection.unsubscribe(filters)
        self._lost_over_unsubscribing = 0
        return True
