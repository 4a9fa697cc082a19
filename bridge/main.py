"""The bridge process: one session with the MQTT broker, kept up, and the uplink behind it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiomqtt

from bridge.connection import Connection
from bridge.uplink import Uplink
from runtime.backoff import Backoff
from runtime.health import serve_health
from runtime.kafka import ensure_topics, producer
from runtime.metrics import MESSAGES_RECEIVED, MESSAGES_UNACKNOWLEDGED
from schemas.mqtt_settings import MqttSettings, MqttTopicSettings
from schemas.settings import BridgeSettings, KafkaSettings

logger = logging.getLogger(__name__)

# A connection that held this long was a good one: the next loss starts with a short wait again.
_GOOD_AFTER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """All that the bridge is told."""

    mqtt: MqttSettings
    subscriptions: MqttTopicSettings
    kafka: KafkaSettings
    bridge: BridgeSettings

    @classmethod
    def load(cls) -> "BridgeConfig":
        """Read it from the environment; raises SettingsError."""
        return cls(MqttSettings.load(), MqttTopicSettings.load(), KafkaSettings.load(), BridgeSettings.load())


async def run_bridge(config: BridgeConfig, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then take no more, wait for the log, acknowledge and disconnect."""
    bridge = config.bridge
    if not config.mqtt.mqtt_enabled:
        logger.warning("MQTT_ENABLED is false: nothing to do", extra={"action": "bridge_disabled"})
        await stop.wait()
        return
    async with AsyncExitStack() as stack:
        checks: dict[str, Callable[[], bool]] = {"mqtt": lambda: False}
        # First of all: a bridge that waits for the log is alive.
        await stack.enter_async_context(serve_health(bridge.bridge_health_host, bridge.bridge_health_port, checks))
        await ensure_topics(config.kafka)
        log = await stack.enter_async_context(producer(config.kafka, "gateway-bridge"))
        uplink = Uplink(log, config.kafka.topics, config.subscriptions.routes, bridge.bridge_window)
        stack.enter_context(MESSAGES_RECEIVED.reading(lambda: {(kind,): n for kind, n in uplink.received.items()}))
        stack.enter_context(MESSAGES_UNACKNOWLEDGED.reading(lambda: {(): uplink.outstanding}))
        session = _Session(config, uplink)
        checks["mqtt"] = lambda: session.subscribed
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(uplink.run(), name="uplink"), tasks.create_task(session.run(), name="session")]
            await stop.wait()
            logger.info("draining", extra={"action": "bridge_draining"})
            try:
                async with asyncio.timeout(bridge.shutdown_timeout):
                    await uplink.drain()
            except TimeoutError:
                logger.warning(
                    "not all was acknowledged in time; the broker sends it again",
                    extra={"action": "bridge_drain_timeout"},
                )
            for task in running:
                task.cancel()


class _Session:
    """Keeps one connection up, each time a new one: a used client holds stale state."""

    def __init__(self, config: BridgeConfig, uplink: Uplink) -> None:
        self._config = config
        self._uplink = uplink
        self.subscribed = False

    async def run(self) -> None:
        backoff = Backoff(most=15)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._connect()
            except aiomqtt.MqttError as error:
                hint = (
                    f"; is another client connected as {self._config.mqtt.mqtt_client_id}?" if self.subscribed else ""
                )
                logger.warning("no MQTT connection: %s%s", error, hint, extra={"action": "mqtt_lost"})
            finally:
                self.subscribed = False
            if loop.time() - started > _GOOD_AFTER_SECONDS:
                backoff.reset()
            await backoff.wait()

    async def _connect(self) -> None:
        mqtt = self._config.mqtt
        connection = Connection(mqtt, self._uplink.take)
        # Before connecting: with a session in place, messages arrive together with the broker's first answer.
        self._uplink.use(connection)
        async with connection:
            filters = self._config.subscriptions.routes.filters
            refused = await connection.subscribe(filters)
            for name in refused:
                logger.error(
                    "the broker refused the subscription to %s; allow it for the client %s in the broker's ACL",
                    name,
                    mqtt.mqtt_client_id,
                    extra={"action": "mqtt_subscription_refused"},
                )
            self.subscribed = not refused
            logger.info(
                "connected to %s:%d, %d subscriptions",
                mqtt.mqtt_host,
                mqtt.mqtt_port,
                len(filters) - len(refused),
                extra={"action": "mqtt_connected"},
            )
            await connection.lost()
