"""Reading the last stretch of some partitions again, beside the consumer group."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.backoff import Backoff
from runtime.kafka import client_options
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch_consumer import Record

_FARTHER = 4
"""How many times as far back each further look goes; of a standstill there is next to nothing to read."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def read_recent(
    kafka: KafkaSettings,
    partitions: Collection[int],
    *,
    recent: Collection[str],
    whole: Collection[str],
    first: timedelta,
    group: str | None,
    take: Callable[[Record], None],
    enough: Callable[[int], bool],
) -> None:
    """Give `take` the records of partitions up to the present end of the log.

    Of the topics `recent` those of the time `first`, and of the time before it for as long as `enough` says of a
    partition that it was too little; and in any case what the consumer group `group` has not done. Of the topics
    `whole` all. Waits while the log is away. A record may be given more than once.
    """
    backoff = Backoff()
    while partitions:
        consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False, group_id=group)
        try:
            await consumer.start()
            reader = _Reader(consumer, take, grouped=group is not None)
            await reader.read_whole(_of(whole, partitions))
            back = first
            left = set(partitions)
            while left:
                since = max(_EPOCH, datetime.now(UTC) - back)
                exhausted = await reader.read_since(_of(recent, left), since)
                left = {number for number in left if not enough(number) and number not in exhausted}
                back *= _FARTHER
        except KafkaError:
            await backoff.wait()
        else:
            return
        finally:
            await consumer.stop()


def _of(topics: Iterable[str], partitions: Iterable[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in partitions]


class _Reader:
    """Reads with a consumer that is in no group's assignment, though it may ask what a group has done."""

    def __init__(self, consumer: AIOKafkaConsumer, take: Callable[[Record], None], *, grouped: bool) -> None:
        self._consumer = consumer
        self._take = take
        self._grouped = grouped

    async def read_whole(self, wanted: list[TopicPartition]) -> None:
        """Read from the beginning."""
        self._consumer.assign(wanted)
        await self._read(await self._consumer.beginning_offsets(wanted))

    async def read_since(self, wanted: list[TopicPartition], since: datetime) -> set[int]:
        """Read what the log got since then; returns the partitions of which there is nothing older."""
        self._consumer.assign(wanted)
        beginnings = await self._consumer.beginning_offsets(wanted)
        ends = await self._consumer.end_offsets(wanted)
        found = await self._consumer.offsets_for_times({tp: int(since.timestamp() * 1000) for tp in wanted})
        starts = {}
        for tp in wanted:
            at = found[tp]
            starts[tp] = ends[tp] if at is None else at.offset
            done = await self._consumer.committed(tp) if self._grouped else None
            if done is not None:
                starts[tp] = max(beginnings[tp], min(starts[tp], done))
        await self._read(starts)
        older = {tp.partition for tp in wanted if starts[tp] > beginnings[tp]}
        return {tp.partition for tp in wanted} - older

    async def _read(self, starts: dict[TopicPartition, int]) -> None:
        ends = await self._consumer.end_offsets(list(starts))
        left = {tp for tp in starts if starts[tp] < ends[tp]}
        for tp in left:
            self._consumer.seek(tp, starts[tp])
        while left:
            fetched = await self._consumer.getmany(*left, timeout_ms=500)
            for records in fetched.values():
                for record in records:
                    self._take(record)
            # By position, not by the last record: the log may hold transaction marks, or have compacted the end away.
            left = {tp for tp in left if await self._consumer.position(tp) < ends[tp]}
