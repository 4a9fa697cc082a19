"""The metrics of the bridge."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx

from bridge.main import BridgeConfig, run_bridge
from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from schemas.settings.blocks import BridgeSettings, KafkaSettings
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from tests.support.metrics import Shown, parsed
from tests.support.publishing import publish

WAIT = 60


async def test_received_messages_are_counted_by_kind(stack: LocalStack, kafka: KafkaSettings, tmp_path: Path) -> None:
    mqtt = MqttSettings(
        mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )
    mine = f"test/{uuid4()}"
    topics = MqttTopicSettings(mqtt_topic_metering=f"{mine}/metering", mqtt_topics=f"{mine}/other")
    port = reserve_ports(tmp_path / "ports.json", ["health"])["health"]
    bridge = BridgeSettings(bridge_health_port=port)
    stop = asyncio.Event()
    running = asyncio.create_task(run_bridge(BridgeConfig(mqtt, topics, kafka, bridge), stop))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=WAIT) as client:

            async def shown() -> Shown:
                try:
                    return parsed((await client.get("/metrics")).text)
                except httpx.ConnectError:
                    return {}

            async def subscribed() -> bool:
                return (await shown()).get("gateway_check") == {("mqtt",): 1, ("commands",): 1}

            async def all_acknowledged() -> bool:
                numbers = await shown()
                received = numbers["gateway_messages_received_total"]
                return (
                    received[("metering",)] == 5
                    and received[("other",)] == 2
                    and numbers["gateway_messages_unacknowledged"] == {(): 0}
                )

            assert await wait_until(subscribed, WAIT)
            # The series of a kind starts at 0: a rate needs its first value.
            assert (await shown())["gateway_messages_received_total"][("acks",)] == 0
            messages = [*[(f"{mine}/metering", b"{}")] * 5, *[(f"{mine}/other", b"x")] * 2]
            await publish(stack.mqtt_host, stack.mqtt_port, messages)
            assert await wait_until(all_acknowledged, WAIT)
            assert (await client.get("/health/ready")).json()["alarms"] == []
    finally:
        stop.set()
        await running
