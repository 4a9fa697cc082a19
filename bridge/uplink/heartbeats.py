"""The bridge's word that it is at work, behind all that it has received: it tells silent VENs from a standstill.

A beat travels the way of the samples, in each partition of ven.raw.metering. Where it does not arrive samples would
not either, and no VEN is silent for that.
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

EVERY_SECONDS = 1.0


class Beats:
    """Beats while `at_work` says that the bridge would receive what VENs send, and what it has is in the log."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        names: TopicNames,
        at_work: Callable[[], bool],
        caught_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._producer = producer
        self._topic = names.raw(Kind.METERING)
        self._at_work = at_work
        self._caught_up = caught_up

    @vital("the heartbeats of the bridge")
    async def run(self) -> None:
        """Beat for ever; the next beat waits until the log has the last one."""
        while True:
            if self._at_work():
                await self._beat()
            await asyncio.sleep(EVERY_SECONDS)

    async def _beat(self) -> None:
        headers = [(HEADER_HEARTBEAT, b"1"), (HEADER_RECEIVED, b"%d" % int(time.time() * 1000))]
        await self._caught_up()
        try:
            sent: list[asyncio.Future[Any]] = [
                await self._producer.send(self._topic, b"", partition=partition, headers=headers)
                for partition in await self._producer.partitions_for(self._topic)
            ]
            await asyncio.gather(*sent)
        except KafkaError:
            return  # the log is away, and a beat that comes late says nothing
