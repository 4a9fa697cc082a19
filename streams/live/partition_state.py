"""The partitions of ven.telemetry that this worker holds, and what their VENs add up to."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.parsing.status import OFFLINE, decode_status
from schemas.records.network import (
    MAX_CLOCK_DIFFERENCE,
    Partial,
    VenLoads,
    decode_heartbeat,
    decode_totals_reading,
    decode_ven_loads,
)
from schemas.records.telemetry import decode_snapshot
from schemas.records.topics import DISABLED, HEARTBEATS, LIVE_LOADS, LOADS, STATUS, TELEMETRY
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch_consumer import Record
from streams.live.aggregation import PartitionTotals
from streams.live.liveness import Progress
from streams.live.state_restore import read_recent

logger = logging.getLogger(__name__)

_NOTED_AT_SHARE = 0.5


class PartitionState:
    """What is known of one partition; records may be taken in in any order, and again."""

    def __init__(self, offline_after: timedelta) -> None:
        self.totals = PartitionTotals()
        self.progress = Progress(offline_after)
        self._disabled: set[str] = set()
        # Where the last word on each VEN stands: one that is read after it and stands before it changes nothing.
        self._words: dict[str, int] = {}
        self._noted: dict[str, datetime] = {}

    def take_reading(self, record: Record) -> None:
        """Take in a record of ven.telemetry: it shows that the pipeline moves, too."""
        reading = _not_ahead(decode_totals_reading(record.value or b""))
        self.totals.update(reading)
        self.progress.saw(reading.received_at)

    def take_snapshot(self, record: Record) -> None:
        """Take in a record of ven.loads."""
        self.totals.update_loads(_not_ahead(decode_snapshot(record.value or b"")))

    def take_status(self, record: Record) -> None:
        """Take in a record of ven.status."""
        status = _not_ahead(decode_status(record.value or b""))
        if status.status == OFFLINE:
            self.totals.leave(status.ven_id, status.received_at)

    def receive_heartbeat(self, record: Record) -> None:
        """Take in a record of pipeline.heartbeats."""
        heartbeat = decode_heartbeat(record.value or b"")
        now = datetime.now(UTC)
        # Those of a worker whose clock is ahead count, too: without any nobody would ever be silent.
        if heartbeat.at <= now + MAX_CLOCK_DIFFERENCE:
            self.progress.saw(min(heartbeat.at, now))

    def take_disabled(self, record: Record) -> None:
        """Take in a record of ven.disabled; an empty value takes it back."""
        ven_id = (record.key or b"").decode()
        if record.offset >= self._words.get(ven_id, -1):
            self._words[ven_id] = record.offset
            if record.value:
                self._disabled.add(ven_id)
            else:
                self._disabled.discard(ven_id)

    def take_noted(self, record: Record) -> None:
        """Take in a record of live.loads, by which a worker before this one remembers."""
        if record.value:
            loads = _not_ahead(decode_ven_loads(record.value))
            self.totals.list_loads(loads)
            self._noted[loads.ven_id] = loads.measured_at

    def partial(self, number: int) -> Partial:
        """What the partition adds up to."""
        totals = self.totals.totals(self.progress.heard_since(), self._disabled)
        return Partial(number, self.progress.newest, totals, self.totals.load_types(self._disabled))

    def notes(self) -> list[tuple[str, VenLoads | None]]:
        """The lists of loads that will soon be too old to be found in the last minute of the log; None to forget."""
        gone: list[tuple[str, VenLoads | None]] = [
            (ven_id, None) for ven_id in self._noted if not self.totals.lists(ven_id)
        ]
        for ven_id, _ in gone:
            del self._noted[ven_id]
        old = self.totals.listed_before(self.progress.heard_since(_NOTED_AT_SHARE))
        due = [loads for loads in old if self._noted.get(loads.ven_id) != loads.measured_at]
        self._noted.update((loads.ven_id, loads.measured_at) for loads in due)
        return gone + [(loads.ven_id, loads) for loads in due]


class AssignedPartitions:
    """One Held for each partition held; it counts only when it is rebuilt, so that totals never dip."""

    def __init__(self, kafka: KafkaSettings, offline_after: timedelta, group: str | None = None) -> None:
        """Describe it; `group` is the consumer group that follows the topics."""
        self._kafka = kafka
        self._offline_after = offline_after
        self._group = group
        names = kafka.topics
        self._followed: dict[str, Callable[[PartitionState, Record], None]] = {
            names(TELEMETRY): PartitionState.take_reading,
            names(LOADS): PartitionState.take_snapshot,
            names(STATUS): PartitionState.take_status,
            names(HEARTBEATS): PartitionState.receive_heartbeat,
            names(DISABLED): PartitionState.take_disabled,
        }
        self._take_in = {**self._followed, names(LIVE_LOADS): PartitionState.take_noted}
        self._held: dict[int, PartitionState] = {}
        self._rebuilt: set[int] = set()
        self._rebuilding: asyncio.Task[None] | None = None

    @property
    def topics(self) -> list[str]:
        """The topics that are followed; a VEN has the same partition in each."""
        return list(self._followed)

    @property
    def restored(self) -> bool:
        """Whether the state of each partition held is restored from the log."""
        return self._rebuilt >= self._held.keys()

    def assign(self, partitions: set[int]) -> None:
        """Hold these partitions and no others, and rebuild the new ones from the log."""
        self._held = {number: self._held.get(number) or PartitionState(self._offline_after) for number in partitions}
        self._rebuilt &= partitions
        self._start_rebuilding()

    def invalidate(self) -> None:
        """Rebuild all that is held: this worker stood still, and the log went on without it."""
        self._rebuilt.clear()
        self._start_rebuilding()

    def _start_rebuilding(self) -> None:
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        self._rebuilding = asyncio.create_task(self._rebuild(set(self._held) - self._rebuilt))

    def update(self, record: Record) -> None:
        """Take a record of one of the topics in; a partition that is not held belongs to another worker."""
        held = self._held.get(record.partition)
        if held is None:
            return
        try:
            self._take_in[record.topic](held, record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # the sink makes a dead letter of it

    def partials(self) -> list[Partial]:
        """Return what each rebuilt partition adds up to; raises what made rebuilding fail."""
        if self._rebuilding is not None and self._rebuilding.done():
            self._rebuilding.result()
        return [self._held[number].partial(number) for number in sorted(self._rebuilt)]

    def notes(self) -> list[tuple[int, str, VenLoads | None]]:
        """Return what is to be remembered for whoever comes after, as (partition, VEN id, its loads); None to forget.

        Whoever takes them has to put them in the log.
        """
        # All at once: while they are put in the log records go on coming in.
        return [(number, *note) for number in sorted(self._rebuilt) for note in self._held[number].notes()]

    async def _rebuild(self, partitions: set[int]) -> None:
        names = self._kafka.topics
        await read_recent(
            self._kafka,
            partitions,
            recent=[names(TELEMETRY), names(LOADS), names(STATUS), names(HEARTBEATS)],
            whole=[names(DISABLED), names(LIVE_LOADS)],
            first=self._offline_after * 2,
            group=self._group,
            take=self.update,
            enough=lambda number: number not in self._held or self._held[number].progress.complete,
        )
        self._rebuilt |= partitions
        logger.info("rebuilt partitions %s", sorted(partitions), extra={"action": "live_rebuilt"})


def _not_ahead(record: Any) -> Any:
    """Others may write here, too: nobody is heard in the future, or would be online for ever."""
    now = datetime.now(UTC)
    return record if record.received_at <= now else msgspec.structs.replace(record, received_at=now)
