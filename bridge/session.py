"""The session with the MQTT broker: keeps a connection up and passes each message to the uplink or the echo."""

import asyncio
import logging

import aiomqtt

from bridge.downlink.echo import ECHO_FILTER, Echo, is_echo
from bridge.downlink.sender import CommandSender
from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message
from bridge.mqtt.subscriber import Subscriber
from bridge.mqtt.subscription_store import SubscriptionStore
from bridge.mqtt.tls_diagnosis import diagnose_mqtt_tls
from bridge.uplink.uplink import Uplink
from runtime.backoff import Backoff
from runtime.supervision import vital
from schemas.mqtt.routing import Routes
from schemas.settings.blocks import SettingsError
from schemas.settings.mqtt import MqttSettings

logger = logging.getLogger(__name__)

_STABLE_SECONDS = 30
"""After a connection that lasted so long, the next reconnect starts with a short wait again."""


class Session:
    """Keeps one connection up, a new one after each loss: a used client has stale state.

    `ready` once the broker has confirmed all subscriptions, and the end of those that are no longer in the settings.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        routes: Routes,
        uplink: Uplink,
        store: SubscriptionStore,
        sender: CommandSender,
        echo: Echo,
        *,
        subscribe_echo: bool,
    ) -> None:
        """Describe it; `subscribe_echo`: whether to subscribe to the commands that the bridge sends."""
        self._mqtt = mqtt
        self._uplink = uplink
        self._sender = sender
        self._echo = echo
        self._subscriber = Subscriber(
            mqtt.mqtt_client_id,
            routes,
            store,
            echo_filter=ECHO_FILTER,
            subscribe_echo=subscribe_echo,
            flush=uplink.flush,
        )
        self._subscribed = False
        self._connected_before = False
        self.ready = False

    @vital("the MQTT session")
    async def run(self) -> None:
        """Stay connected, for ever.

        Raises:
            KafkaError: Kafka refuses the subscription list for good.
            SettingsError: before the first connection: certificates or keys are wrong, ours or the broker's.
        """
        backoff = Backoff(max_seconds=15)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._connect()
            except (aiomqtt.MqttError, SettingsError) as error:
                cause = await self._diagnose(error)
                if cause is not None and not self._connected_before:
                    raise SettingsError(cause) from None
                hint = f"; is another client connected as {self._mqtt.mqtt_client_id}?" if self._subscribed else ""
                logger.warning("no MQTT connection: %s%s", cause or error, hint, extra={"action": "mqtt_lost"})
            finally:
                self._subscribed = self.ready = False
                self._subscriber.end_connection()
            if loop.time() - started > _STABLE_SECONDS:
                backoff.reset()
            await backoff.wait()

    async def _diagnose(self, error: Exception) -> str | None:
        """Return what is wrong with TLS, if that prevented the connection; else None.

        Before the first connection an operator has to correct it; later it may pass, when certificates are renewed.
        """
        if isinstance(error, SettingsError):
            return str(error)
        if self._subscribed:
            return None
        try:
            cause = await diagnose_mqtt_tls(self._mqtt)
        except SettingsError as wrong:
            return str(wrong)
        return None if cause is None else f"{self._mqtt.mqtt_host}:{self._mqtt.mqtt_port}: {cause}"

    async def _connect(self) -> None:
        connection = Connection(self._mqtt, self._on_message)
        # Before connecting: messages of a persistent session arrive together with the broker's first answer.
        self._uplink.attach(connection)
        async with connection:
            self._connected_before = True
            refused = await self._subscriber.subscribe(connection)
            self._subscribed = not refused
            logger.info(
                "connected to %s:%d, %d subscriptions",
                self._mqtt.mqtt_host,
                self._mqtt.mqtt_port,
                len(self._subscriber.granted),
                extra={"action": "mqtt_connected"},
            )
            await self._subscriber.subscribe_to_echo(connection, refused)
            self._sender.attach(connection)
            lost = asyncio.ensure_future(connection.wait_until_lost())
            unsubscribing = asyncio.ensure_future(self._subscriber.unsubscribe_former(connection, refused))
            try:
                await asyncio.wait({lost, unsubscribing}, return_when=asyncio.FIRST_COMPLETED)
                if unsubscribing.done():
                    unsubscribing.result()
                    self.ready = not refused
                await lost
            finally:
                self._sender.detach()
                unsubscribing.cancel()
                lost.cancel()
                await asyncio.gather(unsubscribing, lost, return_exceptions=True)

    def _on_message(self, connection: Connection, message: Message) -> None:
        self._subscriber.note(message.topic)
        if not is_echo(message.topic):
            self._uplink.receive(connection, message)
            return
        evidence = self._echo.receive(message)
        if self._subscriber.wants(message.topic):
            self._uplink.receive(connection, message, evidence)
        else:
            self._uplink.acknowledge_after(evidence, connection, message)
