"""The subscription list of this client id, kept in the log so that it outlives the bridge however it ends."""

import logging

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from runtime.backoff import Backoff
from schemas.mqtt.subscriptions import SubscriptionList
from schemas.records.topics import SUBSCRIPTIONS
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)


class Recollection:
    """What the log says that the broker may have in our session; `list` is what was read or written last."""

    def __init__(self, kafka: KafkaSettings, producer: AIOKafkaProducer, client_id: str) -> None:
        self._kafka = kafka
        self._producer = producer
        self._topic = kafka.topics(SUBSCRIPTIONS)
        self._key = client_id.encode()
        self.list = SubscriptionList()

    async def read(self) -> None:
        """Read the list; waits for the log while it is down."""
        backoff = Backoff(max_seconds=5)
        while True:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka.kafka_bootstrap_servers, enable_auto_commit=False)
            try:
                await consumer.start()
                self.list = await self._latest(consumer)
            except (KafkaError, OSError) as error:
                logger.warning("cannot read %s: %s", self._topic, error, extra={"action": "subscriptions_unread"})
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
                    latest = self._decoded(record.value) or latest
        return latest

    def _decoded(self, value: bytes | None) -> SubscriptionList | None:
        try:
            return SubscriptionList.decode(value or b"")
        except (ValueError, RecursionError) as error:
            logger.warning("no list in %s: %s", self._topic, error, extra={"action": "subscriptions_unreadable"})
            return None

    async def write(self, changed: SubscriptionList) -> None:
        """Keep a list; at return the log has it. Waits for the log while it is down.

        Raises:
            KafkaError: the log refused it for good.
        """
        backoff = Backoff(max_seconds=5)
        while changed != self.list:
            try:
                await self._producer.send_and_wait(self._topic, changed.encode(), key=self._key, partition=0)
            except (KafkaConnectionError, KafkaTimeoutError) as error:
                logger.warning("cannot write %s: %s", self._topic, error, extra={"action": "subscriptions_unwritten"})
                await backoff.wait()
            else:
                self.list = changed
