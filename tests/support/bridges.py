"""A bridge with its own settings of the topics, in the test's process or in one that can be killed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from bridge.main import BridgeConfig, run_bridge
from gateway.stack import LocalStack, Process
from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from schemas.settings.blocks import BridgeSettings, KafkaSettings
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

OFF = {f"mqtt_topic_{name}": "" for name in ("metering", "status", "events", "responses", "shadow")}


class Bridges:
    """Runs bridges of one client id, one after another."""

    def __init__(self, mqtt: MqttSettings, kafka: KafkaSettings, folder: Path, **settings: Any) -> None:
        """Describe them; `settings` are those of the bridge itself, and may change from one to the next."""
        self.mqtt = mqtt
        self.kafka = kafka
        self.settings = settings
        self._folder = folder
        self._port = reserve_ports(folder / "bridge-ports.json", ["health"])["health"]

    def task(self, stop: asyncio.Event, **topics: str) -> asyncio.Task[None]:
        """Start one; the topics that are not given are off."""
        config = BridgeConfig(
            self.mqtt,
            MqttTopicSettings.load(**OFF | topics),
            self.kafka,
            BridgeSettings(bridge_health_port=self._port, **self.settings),
        )
        return asyncio.create_task(run_bridge(config, stop))

    @asynccontextmanager
    async def running(self, **topics: str) -> AsyncIterator[None]:
        """Have one that is ready inside; it ends in order."""
        stop = asyncio.Event()
        bridge = self.task(stop, **topics)
        try:
            assert await wait_until(lambda: bridge.done() or self.ready(), 60)
            yield
        finally:
            stop.set()
            await bridge

    async def process(self, stack: LocalStack, **topics: str) -> Process:
        """Start one as a process of its own; it lives, and may not be ready."""
        settings = {
            "MQTT_HOST": self.mqtt.mqtt_host,
            "MQTT_PORT": str(self.mqtt.mqtt_port),
            "MQTT_USE_TLS": str(self.mqtt.mqtt_use_tls),
            "MQTT_CA_CERT": self.mqtt.mqtt_ca_cert,
            "MQTT_CLIENT_CERT": self.mqtt.mqtt_client_cert,
            "MQTT_CLIENT_KEY": self.mqtt.mqtt_client_key,
            "MQTT_CLIENT_ID": self.mqtt.mqtt_client_id,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.kafka.kafka_topic_prefix,
            "KAFKA_PARTITIONS": str(self.kafka.kafka_partitions),
            "BRIDGE_HEALTH_PORT": str(self._port),
            **{name.upper(): str(value) for name, value in self.settings.items()},
        }
        process = Process(
            "bridge",
            [sys.executable, "-m", "gateway", "bridge"],
            env=settings | {name.upper(): value for name, value in (OFF | topics).items()},
            log=self._folder / "bridge.log",
            guard=stack.guard,
            ready=lambda: self._answers("live"),
        )
        await process.start()
        return process

    async def ready(self) -> bool:
        return await self._answers("ready")

    async def _answers(self, what: str) -> bool:
        try:
            async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
                return (await client.get(f"http://127.0.0.1:{self._port}/health/{what}")).is_success
        except httpx.HTTPError:
            return False
