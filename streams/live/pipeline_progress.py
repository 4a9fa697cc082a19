"""How far the pipeline has progressed in one partition, and which VENs are silent.

Only time in which the pipeline moves counts as silence. While MQTT, Kafka or `validate` stall, no VEN goes offline.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICKS = 12
"""The silence limit is divided into this many ticks; a pause shorter than one tick is no stall."""

_MAX_TICKS = 4 * TICKS


class PipelineProgress:
    """The ticks in which a record or heartbeat came through, recorded in any order."""

    def __init__(self, offline_after: timedelta) -> None:
        self._offline_after = offline_after
        self._tick = offline_after / TICKS
        self._active: set[int] = set()
        # The current tick, because the next record almost always belongs to it too.
        self._begin = self._end = _EPOCH
        self.newest: datetime | None = None

    def record(self, received_at: datetime) -> None:
        """Record that something which the bridge received at this time has come through."""
        if self.newest is None or received_at > self.newest:
            self.newest = received_at
        if self._begin <= received_at < self._end:
            return
        # Other writers may send times before 1970.
        tick = max(0, (received_at - _EPOCH) // self._tick)
        self._begin, self._end = _EPOCH + tick * self._tick, _EPOCH + (tick + 1) * self._tick
        self._active.add(tick)
        if len(self._active) > 2 * _MAX_TICKS:
            self._active = set(sorted(self._active)[-_MAX_TICKS:])

    @property
    def complete(self) -> bool:
        """Whether the pipeline moved long enough to tell which VENs are silent."""
        return self._go_back(self._offline_after) is not None

    def silent_before(self, share: float = 1.0) -> datetime:
        """Return the time before which a VEN's last reading makes it offline; 1970 while that is unknown.

        With a `share` below 1, the silence limit is multiplied by it.
        """
        return self._go_back(self._offline_after * share) or _EPOCH

    def _go_back(self, left: timedelta) -> datetime | None:
        if self.newest is None:
            return None
        end = self.newest
        for tick in sorted(self._active, reverse=True):
            begin = _EPOCH + tick * self._tick
            # The newest tick counts up to now, all others in full.
            end = min(end, begin + self._tick)
            if end - begin >= left:
                return end - left
            left -= end - begin
        return None
