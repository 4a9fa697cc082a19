"""The bridge process: one session with the MQTT broker, kept up, and behind it the ways up and down."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bridge.downlink.command_log import CommandLog
from bridge.downlink.downlink import Downlink
from bridge.downlink.echo import Echo
from bridge.mqtt.subscription_store import Recollection
from bridge.mqtt.tls import tls_context
from bridge.session import Session
from bridge.uplink.heartbeats import Beats
from bridge.uplink.uplink import Uplink
from runtime.health import serve_health
from runtime.kafka import ensure_topics, producer
from runtime.metrics import COMMANDS_OUTSTANDING, MESSAGES_RECEIVED, MESSAGES_UNACKNOWLEDGED, OLDEST_UNACKNOWLEDGED
from runtime.supervision import Supervisor
from runtime.traces import TRACES
from schemas.settings.blocks import BridgeSettings, KafkaSettings, TraceSettings, validate_all
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """All that the bridge is told."""

    mqtt: MqttSettings
    subscriptions: MqttTopicSettings
    kafka: KafkaSettings
    bridge: BridgeSettings
    traces: TraceSettings = field(default_factory=TraceSettings)

    @classmethod
    def load(cls) -> "BridgeConfig":
        """Read it from the environment; raises SettingsError."""
        validate_all(MqttSettings, MqttTopicSettings, KafkaSettings, BridgeSettings, TraceSettings)
        return cls(
            MqttSettings.load(),
            MqttTopicSettings.load(),
            KafkaSettings.load(),
            BridgeSettings.load(),
            TraceSettings.load(),
        )


async def run_bridge(config: BridgeConfig, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then take no more, wait for the log, acknowledge and disconnect.

    Raises:
        SettingsError: certificates, keys or logins are wrong. Where only a connection showed it, in an ExceptionGroup.
        BackgroundTaskError: a task ended that the bridge cannot work without.
    """
    bridge = config.bridge
    if not config.mqtt.mqtt_enabled:
        logger.warning("MQTT_ENABLED is false: nothing to do", extra={"action": "bridge_disabled"})
        await stop.wait()
        return
    tls_context(config.mqtt)  # before the log is waited for
    async with AsyncExitStack() as stack:
        supervisor = stack.enter_context(Supervisor())
        stack.enter_context(TRACES.exporting(config.traces, "bridge"))
        checks: dict[str, Callable[[], bool]] = {"mqtt": lambda: False, "commands": lambda: False}
        # First of all: a bridge that waits for the log is alive.
        await stack.enter_async_context(serve_health(bridge.bridge_health_host, bridge.bridge_health_port, checks))
        await ensure_topics(config.kafka)
        log = await stack.enter_async_context(producer(config.kafka, "gateway-bridge"))
        routes = config.subscriptions.routes
        recollection = Recollection(config.kafka, log, config.mqtt.mqtt_client_id)
        await recollection.read()
        await recollection.write(recollection.list.under(routes).subscribing(routes.filters))
        former = [entry.route for entry in recollection.list.former]
        uplink = Uplink(log, config.kafka.topics, routes.after(former), bridge.bridge_window)
        stack.enter_context(MESSAGES_RECEIVED.reporting(lambda: {(kind,): n for kind, n in uplink.received.items()}))
        stack.enter_context(MESSAGES_UNACKNOWLEDGED.reporting(lambda: {(): uplink.outstanding}))
        stack.enter_context(OLDEST_UNACKNOWLEDGED.reporting(lambda: {(): uplink.oldest_seconds}))
        command_log = CommandLog(config.kafka, log)
        downlink = Downlink(
            config.kafka,
            log,
            command_log,
            window=bridge.bridge_command_window,
            per_second=bridge.bridge_commands_per_second,
            name=config.mqtt.mqtt_client_id,
        )
        stack.enter_context(COMMANDS_OUTSTANDING.reporting(lambda: {(): downlink.outstanding}))
        echo = Echo(command_log)
        listens = bridge.bridge_command_echo
        session = Session(config.mqtt, routes, uplink, recollection, downlink, echo, listens=listens)
        checks["mqtt"] = lambda: session.ready
        checks["commands"] = lambda: downlink.joined

        def at_work() -> bool:
            return session.ready and uplink.outstanding < bridge.bridge_window

        beats = Beats(log, config.kafka.topics, at_work, uplink.caught_up)
        # What ends after one of these has failed ends for that.
        stack.callback(supervisor.over)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(uplink.run(), name="uplink"),
                tasks.create_task(command_log.run(), name="command log"),
                tasks.create_task(downlink.run(), name="downlink"),
                tasks.create_task(echo.run(), name="echo"),
                tasks.create_task(session.run(), name="session"),
                tasks.create_task(beats.run(), name="beats"),
            ]
            await stop.wait()
            supervisor.over()
            logger.info("draining", extra={"action": "bridge_draining"})
            try:
                async with asyncio.timeout(bridge.shutdown_timeout):
                    await asyncio.gather(downlink.drain(), uplink.drain())
            except TimeoutError:
                logger.warning(
                    "not all was acknowledged in time; the broker sends it again, and commands stay open",
                    extra={"action": "bridge_drain_timeout"},
                )
            for task in running:
                task.cancel()
