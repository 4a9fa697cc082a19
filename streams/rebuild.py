"""Reading the last stretch of some partitions again, beside the consumer group."""

from collections.abc import Callable, Iterable
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.backoff import Backoff
from runtime.kafka import client_options
from schemas.settings import KafkaSettings
from streams.batches import Record


async def read_recent(
    kafka: KafkaSettings,
    topics: Iterable[str],
    partitions: Iterable[int],
    since: datetime,
    take: Callable[[Record], None],
) -> None:
    """Give `take` every record of partitions that the log got since then, up to its present end.

    Waits while the log is away.
    A record may be given more than once.
    """
    wanted = [TopicPartition(topic, number) for number in partitions for topic in topics]
    backoff = Backoff()
    while wanted:
        consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False)
        try:
            await consumer.start()
            await _read(consumer, wanted, since, take)
        except KafkaError:
            await backoff.wait()
        else:
            return
        finally:
            await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer, wanted: list[TopicPartition], since: datetime, take: Callable[[Record], None]
) -> None:
    consumer.assign(wanted)
    ends = await consumer.end_offsets(wanted)
    starts = await consumer.offsets_for_times({tp: int(since.timestamp() * 1000) for tp in wanted})
    left = {tp for tp in wanted if starts[tp] is not None and starts[tp].offset < ends[tp]}
    for tp in left:
        consumer.seek(tp, starts[tp].offset)
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=500)
        for records in fetched.values():
            for record in records:
                take(record)
        # By position, not by the last record: the log may hold transaction marks, or have compacted the end away.
        left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
