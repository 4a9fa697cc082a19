"""Heartbeats: the bridge proves every second that it works, so that a stall is not mistaken for silent VENs.

A heartbeat takes the path of the samples, in each partition of ven.raw.metering. If it does not arrive, samples would
not arrive either, and no VEN counts as silent.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.supervision import vital
from schemas.mqtt.routing import Kind
from schemas.records.topics import HEADER_HEARTBEAT, HEADER_RECEIVED, TopicNames

INTERVAL_SECONDS = 1.0


class Heartbeats:
    """Sends heartbeats while `is_working` returns True, each behind all messages received before it."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        names: TopicNames,
        is_working: Callable[[], bool],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        """Describe them; `flush` waits until Kafka has stored all messages received so far."""
        self._producer = producer
        self._topic = names.raw(Kind.METERING)
        self._is_working = is_working
        self._flush = flush

    @vital("the heartbeats of the bridge")
    async def run(self) -> None:
        """Send heartbeats for ever, each after Kafka has acknowledged the last."""
        while True:
            if self._is_working():
                await self._send()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _send(self) -> None:
        headers = [(HEADER_HEARTBEAT, b"1"), (HEADER_RECEIVED, b"%d" % int(time.time() * 1000))]
        await self._flush()
        try:
            sent: list[asyncio.Future[Any]] = [
                await self._producer.send(self._topic, b"", partition=partition, headers=headers)
                for partition in await self._producer.partitions_for(self._topic)
            ]
            await asyncio.gather(*sent)
        except KafkaError:
            return  # Kafka is unavailable, and a late heartbeat proves nothing
