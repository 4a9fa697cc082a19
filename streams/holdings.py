"""The partitions of ven.telemetry that this worker holds, and what their VENs add up to."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from schemas.network import Partial
from schemas.readings import decode_reading, decode_snapshot
from schemas.settings import KafkaSettings
from schemas.status import OFFLINE, decode_status
from schemas.topics import LOADS, STATUS, TELEMETRY
from streams.batches import Record
from streams.rebuild import read_recent
from streams.rules.totals import PartitionTotals

logger = logging.getLogger(__name__)


class Holdings:
    """One PartitionTotals for each partition held; it counts only when it is rebuilt, so that totals never dip."""

    def __init__(self, kafka: KafkaSettings, offline_after: timedelta) -> None:
        self._kafka = kafka
        self._offline_after = offline_after
        self._take_in: dict[str, Callable[[PartitionTotals, bytes], None]] = {
            kafka.topics(TELEMETRY): lambda totals, value: totals.update(decode_reading(value)),
            kafka.topics(LOADS): lambda totals, value: totals.update_loads(decode_snapshot(value)),
            kafka.topics(STATUS): _take_in_status,
        }
        self._held: dict[int, PartitionTotals] = {}
        self._rebuilt: set[int] = set()
        self._rebuilding: asyncio.Task[None] | None = None

    @property
    def topics(self) -> list[str]:
        """The topics that are followed; a VEN has the same partition in each."""
        return list(self._take_in)

    def hold(self, partitions: set[int]) -> None:
        """Hold these partitions and no others, and rebuild the new ones from the last minute of the log."""
        self._held = {number: self._held.get(number, PartitionTotals()) for number in partitions}
        self._rebuilt &= partitions
        self._start_rebuilding()

    def distrust(self) -> None:
        """Rebuild all that is held: this worker stood still, and the log went on without it."""
        self._rebuilt.clear()
        self._start_rebuilding()

    def _start_rebuilding(self) -> None:
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        self._rebuilding = asyncio.create_task(self._rebuild(set(self._held) - self._rebuilt))

    def update(self, record: Record) -> None:
        """Take a canonical record in; a partition that is not held belongs to another worker."""
        held = self._held.get(record.partition)
        if held is None:
            return
        try:
            self._take_in[record.topic](held, record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # the sink makes a dead letter of it

    def partials(self, now: datetime) -> list[Partial]:
        """Return what each rebuilt partition adds up to; raises what made rebuilding fail."""
        if self._rebuilding is not None and self._rebuilding.done():
            self._rebuilding.result()
        return [
            Partial(number, now, self._held[number].totals(now, self._offline_after))
            for number in sorted(self._rebuilt)
        ]

    async def _rebuild(self, partitions: set[int]) -> None:
        since = datetime.now(UTC) - self._offline_after
        await read_recent(self._kafka, self.topics, partitions, since, self.update)
        self._rebuilt |= partitions
        logger.info("rebuilt partitions %s", sorted(partitions), extra={"action": "live_rebuilt"})


def _take_in_status(totals: PartitionTotals, value: bytes) -> None:
    status = decode_status(value)
    if status.status == OFFLINE:
        totals.leave(status.ven_id, status.received_at)
