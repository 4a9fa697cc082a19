"""Intervals of an event by the local wall clock, and the same intervals of other days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.tables.buckets import MINUTE, ceil_to, starts

SLOT = timedelta(minutes=5)
SLOT_SECONDS = 300


class WallClock(NamedTuple):
    """The wall-clock time at which an interval begins, in days and minutes after midnight of the event's day."""

    days: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A piece of an event or of an adjustment window: from `begin` to `end` in UTC, whole minutes."""

    wall_clock: WallClock
    begin: datetime
    end: datetime

    @property
    def hours(self) -> float:
        return (self.end - self.begin) / timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class IntervalClock:
    """Cuts time into intervals of `minutes` (5, 15 or 60) by the wall clock of `zone`.

    A clock change never shifts an interval: of the hour that exists twice both count for the same wall-clock time, the
    hour that does not exist has no slots.
    """

    zone: ZoneInfo
    minutes: int

    def local_date(self, moment: datetime) -> date:
        """Return the local date of a moment."""
        return moment.astimezone(self.zone).date()

    def cut(self, begin: datetime, end: datetime, day: date) -> list[Interval]:
        """Cut the minutes that lie wholly between two moments into intervals; the first and last may be shorter.

        `day` is the event's local date.
        """
        whole_minutes = starts(ceil_to(begin.astimezone(UTC), MINUTE), end.astimezone(UTC), MINUTE)
        intervals = []
        for (wall_clock, _), group in groupby(whole_minutes, key=lambda minute: self._wall_clock(minute, day)):
            minutes = list(group)
            intervals.append(Interval(wall_clock, minutes[0], minutes[-1] + MINUTE))
        return intervals

    def whole(self, intervals: Sequence[Interval]) -> list[Interval]:
        """Return the intervals that are not cut short."""
        return [interval for interval in intervals if interval.end - interval.begin == self.minutes * MINUTE]

    def slots(self, wall_clock: WallClock, day: date) -> list[int]:
        """Return the slots of the interval that begins at a wall-clock time, for an event on another local date."""
        midnight = datetime.combine(day + timedelta(days=wall_clock.days), time())
        return [
            slot
            for minute in range(wall_clock.minutes, wall_clock.minutes + self.minutes, SLOT // MINUTE)
            for slot in self._slots_at(midnight + minute * MINUTE)
        ]

    def _slots_at(self, local: datetime) -> list[int]:
        moments = {local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        # A time that does not exist comes back as another one.
        return [
            slot_of(moment)
            for moment in sorted(moments)
            if moment.astimezone(self.zone).replace(tzinfo=None, fold=0) == local
        ]

    def _wall_clock(self, moment: datetime, day: date) -> tuple[WallClock, int]:
        local = moment.astimezone(self.zone)
        minutes = (local.hour * 60 + local.minute) // self.minutes * self.minutes
        return WallClock((local.date() - day).days, minutes), local.fold


def slot_of(moment: datetime) -> int:
    """Return the number of the slot that a moment lies in."""
    return int(moment.timestamp()) // SLOT_SECONDS


def slot_begin(slot: int) -> datetime:
    """Return when a slot begins."""
    return datetime.fromtimestamp(slot * SLOT_SECONDS, UTC)
