"""The plausible power of each VEN: a setting, or the limit that operators set for the VEN."""

import asyncio
import logging

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.backoff import Backoff
from runtime.kafka import client_options
from schemas.records.power_limits import decode_power_limit
from schemas.records.topics import POWER_LIMITS
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch import Record

logger = logging.getLogger(__name__)


class PowerLimits:
    """Limits by VEN id. Every worker reads all of them, because arrays of samples may be of any VEN."""

    def __init__(self, default_kw: float) -> None:
        self._default_kw = default_kw
        self._by_ven: dict[str, float] = {}
        self._complete = asyncio.Event()

    def limit_kw(self, ven_id: str) -> float:
        """Return the limit of a VEN in kW."""
        return self._by_ven.get(ven_id, self._default_kw)

    async def wait(self) -> None:
        """Wait until all limits are known that Kafka had when `follow` started."""
        await self._complete.wait()

    async def follow(self, kafka: KafkaSettings) -> None:
        """Read all limits and then their changes, for ever; wait while Kafka is away."""
        backoff, partition = Backoff(), TopicPartition(kafka.topics(POWER_LIMITS), 0)
        while True:
            consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False, auto_offset_reset="earliest")
            try:
                await consumer.start()
                consumer.assign([partition])
                end = (await consumer.end_offsets([partition]))[partition]
                while True:
                    # By position, not by the last record, which may be compacted away.
                    if not self._complete.is_set() and await consumer.position(partition) >= end:
                        self._complete.set()
                    for record in (await consumer.getmany(timeout_ms=1000)).get(partition, ()):
                        self.update(record)
            except KafkaError as error:
                logger.warning("could not read power limits: %s", error, extra={"action": "power_limits_retry"})
                await backoff.wait()
            finally:
                await consumer.stop()

    def update(self, record: Record) -> None:
        """Apply a record of ven.power-limits; a tombstone removes the limit."""
        try:
            if record.value:
                limit = decode_power_limit(record.value)
                self._by_ven[limit.ven_id] = limit.max_power_kw
            else:
                self._by_ven.pop((record.key or b"").decode(), None)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.warning("ignored a malformed power limit", extra={"action": "power_limit_malformed"})
