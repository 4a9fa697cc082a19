"""Reads the end of partitions again, outside the consumer group, to restore their state."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.backoff import Backoff
from runtime.kafka import client_options
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch import Record

_BACKOFF_FACTOR = 4
"""Each further read goes this many times further back; during a stall there is hardly anything to read."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def read_recent(
    kafka: KafkaSettings,
    partitions: Collection[int],
    *,
    recent: Collection[str],
    whole: Collection[str],
    first: timedelta,
    group: str | None,
    update: Callable[[Record], None],
    complete: Callable[[int], bool],
) -> None:
    """Call `update` with the records of partitions, up to the current end of their topics.

    Topics in `whole` are read from the beginning. Topics in `recent` are read from `first` ago, then further back while
    `complete` is False for a partition, and at least from the committed offset of the consumer group `group`. Waits
    while Kafka is away. A record may be passed more than once.
    """
    backoff = Backoff()
    while partitions:
        consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False, group_id=group)
        try:
            await consumer.start()
            reader = _Reader(consumer, update, grouped=group is not None)
            await reader.read_whole(_partitions_of(whole, partitions))
            age = first
            left = set(partitions)
            while left:
                since = max(_EPOCH, datetime.now(UTC) - age)
                exhausted = await reader.read_since(_partitions_of(recent, left), since)
                left = {number for number in left if not complete(number) and number not in exhausted}
                age *= _BACKOFF_FACTOR
        except KafkaError:
            await backoff.wait()
        else:
            return
        finally:
            await consumer.stop()


def _partitions_of(topics: Iterable[str], partitions: Iterable[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in partitions]


class _Reader:
    """Reads with a consumer that joins no group; it may ask for the group's committed offsets."""

    def __init__(self, consumer: AIOKafkaConsumer, update: Callable[[Record], None], *, grouped: bool) -> None:
        self._consumer = consumer
        self._update = update
        self._grouped = grouped

    async def read_whole(self, partitions: list[TopicPartition]) -> None:
        """Read partitions from the beginning."""
        self._consumer.assign(partitions)
        await self._read(await self._consumer.beginning_offsets(partitions))

    async def read_since(self, partitions: list[TopicPartition], since: datetime) -> set[int]:
        """Read the records that Kafka got since then; return the partitions that hold nothing older."""
        self._consumer.assign(partitions)
        beginnings = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        found = await self._consumer.offsets_for_times({tp: int(since.timestamp() * 1000) for tp in partitions})
        starts = {}
        for tp in partitions:
            at = found[tp]
            starts[tp] = ends[tp] if at is None else at.offset
            committed = await self._consumer.committed(tp) if self._grouped else None
            if committed is not None:
                starts[tp] = max(beginnings[tp], min(starts[tp], committed))
        await self._read(starts)
        older = {tp.partition for tp in partitions if starts[tp] > beginnings[tp]}
        return {tp.partition for tp in partitions} - older

    async def _read(self, starts: dict[TopicPartition, int]) -> None:
        ends = await self._consumer.end_offsets(list(starts))
        left = {tp for tp in starts if starts[tp] < ends[tp]}
        for tp in left:
            self._consumer.seek(tp, starts[tp])
        while left:
            fetched = await self._consumer.getmany(*left, timeout_ms=500)
            for records in fetched.values():
                for record in records:
                    self._update(record)
            # By position, not by the last record, because the end may be a transaction marker or compacted away.
            left = {tp for tp in left if await self._consumer.position(tp) < ends[tp]}
