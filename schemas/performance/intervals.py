"""Intervals of an event by the local wall clock, and the same intervals of other days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

SLOT = timedelta(minutes=5)
SLOT_SECONDS = 300
_MINUTE = timedelta(minutes=1)
_DAY_MINUTES = 24 * 60


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
        return [
            Interval(wall_clock, minutes[0], minutes[-1] + _MINUTE)
            for (wall_clock, _), minutes in (
                (key, list(group))
                for key, group in groupby(_whole_minutes(begin, end), key=lambda minute: self._wall_clock(minute, day))
            )
        ]

    def whole(self, intervals: Sequence[Interval]) -> list[Interval]:
        """Return the intervals that are not cut short."""
        return [interval for interval in intervals if interval.end - interval.begin == self.minutes * _MINUTE]

    def slots(self, wall_clock: WallClock, day: date) -> list[int]:
        """Return the slots of the interval that begins at a wall-clock time, for an event on another local date."""
        midnight = datetime.combine(day + timedelta(days=wall_clock.days), time())
        return [
            slot
            for minute in range(wall_clock.minutes, wall_clock.minutes + self.minutes, SLOT // _MINUTE)
            for slot in self._slots_at(midnight + minute * _MINUTE)
        ]

    def _slots_at(self, local: datetime) -> Iterator[int]:
        seen: set[datetime] = set()
        for fold in (0, 1):
            moment = local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
            # A time that does not exist comes back as another one.
            exists = moment.astimezone(self.zone).replace(tzinfo=None, fold=0) == local
            if exists and moment not in seen:
                seen.add(moment)
                yield slot_of(moment)

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


def _whole_minutes(begin: datetime, end: datetime) -> Iterator[datetime]:
    floor = begin.astimezone(UTC).replace(second=0, microsecond=0)
    minute = floor if floor == begin else floor + _MINUTE
    while minute + _MINUTE <= end:
        yield minute
        minute += _MINUTE
