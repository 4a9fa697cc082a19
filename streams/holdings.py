"""The partitions of ven.telemetry that this worker holds, and what their VENs add up to."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import msgspec

from schemas.network import Partial
from schemas.readings import decode_reading
from schemas.settings import KafkaSettings
from schemas.topics import TELEMETRY
from streams.batches import Record
from streams.rebuild import read_recent
from streams.rules.totals import PartitionTotals

logger = logging.getLogger(__name__)


class Holdings:
    """One PartitionTotals for each partition held; it counts only when it is rebuilt, so that totals never dip."""

    def __init__(self, kafka: KafkaSettings, offline_after: timedelta) -> None:
        self._kafka = kafka
        self._offline_after = offline_after
        self._held: dict[int, PartitionTotals] = {}
        self._rebuilt: set[int] = set()
        self._rebuilding: asyncio.Task[None] | None = None

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
        """Take a canonical reading in; a partition that is not held belongs to another worker."""
        held = self._held.get(record.partition)
        if held is None:
            return
        try:
            held.update(decode_reading(record.value or b""))
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
        topic = self._kafka.topics(TELEMETRY)
        since = datetime.now(UTC) - self._offline_after
        await read_recent(self._kafka, topic, partitions, since, self.update)
        self._rebuilt |= partitions
        logger.info("rebuilt partitions %s", sorted(partitions), extra={"action": "live_rebuilt"})
