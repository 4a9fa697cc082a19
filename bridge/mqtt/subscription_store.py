"""The subscriptions of this client id in a compacted topic, so that they survive the bridge however it ends."""

import logging

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from runtime.backoff import Backoff
from runtime.kafka import client_options
from schemas.mqtt.subscriptions import SubscriptionList
from schemas.records.topics import SUBSCRIPTIONS
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)


class SubscriptionStore:
    """Reads and writes what our session at the broker may be subscribed to; `list` is the current value."""

    def __init__(self, kafka: KafkaSettings, producer: AIOKafkaProducer, client_id: str) -> None:
        self._kafka = kafka
        self._producer = producer
        self._topic = kafka.topics(SUBSCRIPTIONS)
        self._key = client_id.encode()
        self.list = SubscriptionList()

    async def read(self) -> None:
        """Read the list from Kafka; waits while Kafka is unavailable."""
        backoff = Backoff(max_seconds=5)
        while True:
            consumer = AIOKafkaConsumer(**client_options(self._kafka), enable_auto_commit=False)
            try:
                await consumer.start()
                self.list = await self._latest(consumer)
            except (KafkaError, OSError) as error:
                logger.warning("cannot read %s: %s", self._topic, error, extra={"action": "subscriptions_read_failed"})
                await backoff.wait()
            else:
                return
            finally:
                await consumer.stop()

    async def _latest(self, consumer: AIOKafkaConsumer) -> SubscriptionList:
        partition = TopicPartition(self._topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        latest = SubscriptionList()
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, ()):
                if record.key == self._key:
                    latest = self._decode(record.value) or latest
        return latest

    def _decode(self, value: bytes | None) -> SubscriptionList | None:
        try:
            return SubscriptionList.decode(value or b"")
        except (ValueError, RecursionError) as error:
            logger.warning(
                "a record in %s is no subscription list: %s",
                self._topic,
                error,
                extra={"action": "subscriptions_invalid"},
            )
            return None

    async def write(self, changed: SubscriptionList) -> None:
        """Write a list to Kafka and wait for its acknowledgement, also while Kafka is unavailable.

        Raises:
            KafkaError: Kafka refuses the record for good.
        """
        backoff = Backoff(max_seconds=5)
        while changed != self.list:
            try:
                await self._producer.send_and_wait(self._topic, changed.encode(), key=self._key, partition=0)
            except (KafkaConnectionError, KafkaTimeoutError) as error:
                logger.warning(
                    "cannot write %s: %s", self._topic, error, extra={"action": "subscriptions_write_failed"}
                )
                await backoff.wait()
            else:
                self.list = changed
