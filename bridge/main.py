"""The bridge process: a session with the MQTT broker, and the uplink and the downlink to Kafka behind it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bridge.downlink.command_log import CommandLog
from bridge.downlink.downlink import Downlink
from bridge.downlink.echo import Echo
from bridge.downlink.sender import CommandSender
from bridge.mqtt.subscription_store import SubscriptionStore
from bridge.mqtt.tls import tls_context
from bridge.session import Session
from bridge.uplink.heartbeats import Heartbeats
from bridge.uplink.uplink import Uplink
from runtime.health import serve_health
from runtime.kafka import ensure_topics, producer
from runtime.metrics import COMMANDS_IN_FLIGHT, MESSAGES_RECEIVED, MESSAGES_UNACKNOWLEDGED, OLDEST_UNACKNOWLEDGED
from runtime.supervision import Supervisor
from runtime.tracing import TRACING
from schemas.settings.blocks import BridgeSettings, KafkaSettings, TraceSettings, validate_all
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The settings of the bridge."""

    mqtt: MqttSettings
    subscriptions: MqttTopicSettings
    kafka: KafkaSettings
    bridge: BridgeSettings
    traces: TraceSettings = field(default_factory=TraceSettings)

    @classmethod
    def load(cls) -> "BridgeConfig":
        """Load them from the environment; raises SettingsError."""
        validate_all(MqttSettings, MqttTopicSettings, KafkaSettings, BridgeSettings, TraceSettings)
        return cls(
            MqttSettings.load(),
            MqttTopicSettings.load(),
            KafkaSettings.load(),
            BridgeSettings.load(),
            TraceSettings.load(),
        )


async def run_bridge(config: BridgeConfig, stop: asyncio.Event) -> None:
    """Run until `stop` is set; then accept no more, wait for Kafka, acknowledge and disconnect.

    Raises:
        SettingsError: certificates, keys or logins are wrong; in an ExceptionGroup if only a connection shows it.
        BackgroundTaskError: a task ended that the bridge cannot work without.
    """
    bridge = config.bridge
    if not config.mqtt.mqtt_enabled:
        logger.warning("MQTT_ENABLED is false: nothing to do", extra={"action": "bridge_disabled"})
        await stop.wait()
        return
    tls_context(config.mqtt)  # wrong certificates end the process before it waits for Kafka
    async with AsyncExitStack() as stack:
        supervisor = stack.enter_context(Supervisor())
        stack.enter_context(TRACING.exporting(config.traces, "bridge"))
        checks: dict[str, Callable[[], bool]] = {"mqtt": lambda: False, "commands": lambda: False}
        # First, because a bridge that waits for Kafka is alive.
        await stack.enter_async_context(serve_health(bridge.bridge_health_host, bridge.bridge_health_port, checks))
        await ensure_topics(config.kafka)
        kafka_producer = await stack.enter_async_context(producer(config.kafka, "gateway-bridge"))
        routes = config.subscriptions.routes
        store = SubscriptionStore(config.kafka, kafka_producer, config.mqtt.mqtt_client_id)
        await store.read()
        await store.write(store.list.with_settings(routes).subscribed(routes.filters))
        former = [entry.route for entry in store.list.former]
        uplink = Uplink(kafka_producer, config.kafka.topics, routes.after(former), bridge.bridge_window)
        stack.enter_context(MESSAGES_RECEIVED.reporting(lambda: {(kind,): n for kind, n in uplink.received.items()}))
        stack.enter_context(MESSAGES_UNACKNOWLEDGED.reporting(lambda: {(): uplink.unacknowledged}))
        stack.enter_context(OLDEST_UNACKNOWLEDGED.reporting(lambda: {(): uplink.oldest_seconds}))
        command_log = CommandLog(config.kafka, kafka_producer)
        sender = CommandSender(command_log, per_second=bridge.bridge_commands_per_second)
        stack.enter_context(COMMANDS_IN_FLIGHT.reporting(lambda: {(): sender.in_flight}))
        window, name = bridge.bridge_command_window, config.mqtt.mqtt_client_id
        downlink = Downlink(config.kafka, kafka_producer, command_log, sender, window=window, name=name)
        echo = Echo(command_log)
        echoes = bridge.bridge_command_echo
        session = Session(config.mqtt, routes, uplink, store, sender, echo, subscribe_echo=echoes)
        checks["mqtt"] = lambda: session.ready
        checks["commands"] = lambda: downlink.joined

        def is_working() -> bool:
            return session.ready and uplink.unacknowledged < bridge.bridge_window

        heartbeats = Heartbeats(kafka_producer, config.kafka.topics, is_working, uplink.flush)
        # After one of these has failed, the others end for that reason.
        stack.callback(supervisor.stop_watching)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(uplink.run(), name="uplink"),
                tasks.create_task(command_log.run(), name="command log"),
                tasks.create_task(downlink.run(), name="downlink"),
                tasks.create_task(echo.run(), name="echo"),
                tasks.create_task(session.run(), name="session"),
                tasks.create_task(heartbeats.run(), name="heartbeats"),
            ]
            await stop.wait()
            supervisor.stop_watching()
            logger.info("draining", extra={"action": "bridge_draining"})
            try:
                async with asyncio.timeout(bridge.shutdown_timeout):
                    await asyncio.gather(downlink.drain(), uplink.drain())
            except TimeoutError:
                logger.warning(
                    "not everything was acknowledged in time; the broker redelivers those messages",
                    extra={"action": "bridge_drain_timeout"},
                )
            for task in running:
                task.cancel()
