"""How far the pipeline has come with one partition, and since when a VEN must have been heard to count as online.

Silence is counted in time in which the pipeline moved. While MQTT, the log or `validate` stand still, no VEN can be
heard, and none is silent for that.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICKS = 12
"""Into so many ticks the time is divided after which a VEN is offline: a pause that is shorter than one is none."""

_KEPT = 4 * TICKS


class Progress:
    """The ticks in which something came through, in whatever order it is told of them."""

    def __init__(self, offline_after: timedelta) -> None:
        self._offline_after = offline_after
        self._tick = offline_after / TICKS
        self._alive: set[int] = set()
        # The tick of the last one: almost always that of the next, too.
        self._begin = self._end = _EPOCH
        self.newest: datetime | None = None

    def saw(self, received_at: datetime) -> None:
        """Note that what the bridge received at this time has come through."""
        if self.newest is None or received_at > self.newest:
            self.newest = received_at
        if self._begin <= received_at < self._end:
            return
        # Others may write there, too: a time before the ticks begin is none that could be reckoned with.
        tick = max(0, (received_at - _EPOCH) // self._tick)
        self._begin, self._end = _EPOCH + tick * self._tick, _EPOCH + (tick + 1) * self._tick
        self._alive.add(tick)
        if len(self._alive) > 2 * _KEPT:
            self._alive = set(sorted(self._alive)[-_KEPT:])

    @property
    def complete(self) -> bool:
        """Whether it knows of enough time in which the pipeline moved to tell who is silent."""
        return self._back(self._offline_after) is not None

    def heard_since(self, share: float = 1.0) -> datetime:
        """Return the time since which the pipeline moved for so long that whoever was not heard since is offline.

        With a `share` of that time. As long as that is not known nobody is silent.
        """
        return self._back(self._offline_after * share) or _EPOCH

    def _back(self, left: timedelta) -> datetime | None:
        if self.newest is None:
            return None
        end = self.newest
        for tick in sorted(self._alive, reverse=True):
            begin = _EPOCH + tick * self._tick
            # The newest tick is not over; all others count whole.
            end = min(end, begin + self._tick)
            if end - begin >= left:
                return end - left
            left -= end - begin
        return None
