"""Publishing as a VEN does."""

from collections.abc import Sequence

import aiomqtt


async def publish(host: str, port: int, messages: Sequence[tuple[str, bytes]], *, qos: int = 1) -> None:
    """Publish (topic, payload) in order; at return the broker has acknowledged all."""
    async with aiomqtt.Client(host, port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=qos)
