"""The states of the Kafka partitions that a worker of the role `live` is assigned."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

import msgspec

from schemas.records.network import Partial, VenLoads
from schemas.records.topics import DISABLED, HEARTBEATS, LIVE_LOADS, LOADS, STATUS, TELEMETRY
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch import Record
from streams.live.partition_state import PartitionState
from streams.live.state_restore import read_recent

logger = logging.getLogger(__name__)


class AssignedPartitions:
    """One state per assigned partition. It is published only once it is restored, so that totals never dip."""

    def __init__(self, kafka: KafkaSettings, offline_after: timedelta, group: str | None = None) -> None:
        """`group` is the consumer group that reads `topics`."""
        self._kafka = kafka
        self._offline_after = offline_after
        self._group = group
        names = kafka.topics
        self._consumed: dict[str, Callable[[PartitionState, Record], None]] = {
            names(TELEMETRY): PartitionState.apply_reading,
            names(LOADS): PartitionState.apply_snapshot,
            names(STATUS): PartitionState.apply_status,
            names(HEARTBEATS): PartitionState.apply_heartbeat,
            names(DISABLED): PartitionState.apply_disabled,
        }
        self._apply = {**self._consumed, names(LIVE_LOADS): PartitionState.apply_checkpoint}
        self._states: dict[int, PartitionState] = {}
        self._restored: set[int] = set()
        self._restoring: asyncio.Task[None] | None = None

    @property
    def topics(self) -> list[str]:
        """The topics to consume; a VEN has the same partition in each."""
        return list(self._consumed)

    @property
    def restored(self) -> bool:
        """Whether the state of each assigned partition is restored."""
        return self._restored >= self._states.keys()

    def assign(self, partitions: set[int]) -> None:
        """Keep the states of these partitions only, and restore those of new ones from Kafka."""
        self._states = {
            number: self._states.get(number) or PartitionState(self._offline_after) for number in partitions
        }
        self._restored &= partitions
        self._start_restore()

    def invalidate(self) -> None:
        """Restore all states again, because this worker stalled while Kafka received records."""
        self._restored.clear()
        self._start_restore()

    def _start_restore(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
        self._restoring = asyncio.create_task(self._restore(set(self._states) - self._restored))

    def update(self, record: Record) -> None:
        """Apply a record; records of partitions that are not assigned are ignored."""
        state = self._states.get(record.partition)
        if state is None:
            return
        try:
            self._apply[record.topic](state, record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # the sink makes it a dead letter

    def partials(self) -> list[Partial]:
        """Return the totals of each restored partition; raises the error that ended the restore."""
        if self._restoring is not None and self._restoring.done():
            self._restoring.result()
        return [self._states[number].partial(number) for number in sorted(self._restored)]

    def due_checkpoints(self) -> list[tuple[int, str, VenLoads | None]]:
        """Return what the caller must write to live.loads, as (partition, VEN id, loads); None deletes a checkpoint."""
        # A list, because records are applied while the caller writes.
        return [
            (number, *checkpoint)
            for number in sorted(self._restored)
            for checkpoint in self._states[number].due_checkpoints()
        ]

    async def _restore(self, partitions: set[int]) -> None:
        names = self._kafka.topics
        await read_recent(
            self._kafka,
            partitions,
            recent=[names(TELEMETRY), names(LOADS), names(STATUS), names(HEARTBEATS)],
            whole=[names(DISABLED), names(LIVE_LOADS)],
            first=self._offline_after * 2,
            group=self._group,
            update=self.update,
            complete=lambda number: number not in self._states or self._states[number].progress.complete,
        )
        self._restored |= partitions
        logger.info("restored the state of partitions %s", sorted(partitions), extra={"action": "live_restored"})
