"""When dead letters are a flood: their share of the records of the last minute."""

from collections import deque
from math import floor
from typing import NamedTuple

WINDOW_SECONDS = 60


class _Second(NamedTuple):
    number: int
    records: int
    dead_letters: int


class Flood:
    """Counts records, and those of them that became dead letters, in a minute that slides by whole seconds.

    Times are seconds of any clock that does not go back. It keeps one entry a second, however many records come.
    """

    def __init__(self, most_share: float, least_dead_letters: int) -> None:
        """Alarm when the share is above `most_share`, once at least `least_dead_letters` came within the minute."""
        self._most_share = most_share
        self._least = least_dead_letters
        self._seconds: deque[_Second] = deque()
        self._records = 0
        self._dead_letters = 0

    def count(self, now: float, records: int, dead_letters: int) -> None:
        """Take in records, of which `dead_letters` became dead letters."""
        self._forget(now)
        number = floor(now)
        if self._seconds and self._seconds[-1].number == number:
            last = self._seconds.pop()
            self._seconds.append(_Second(number, last.records + records, last.dead_letters + dead_letters))
        else:
            self._seconds.append(_Second(number, records, dead_letters))
        self._records += records
        self._dead_letters += dead_letters

    def share(self, now: float) -> float:
        """Return the share of dead letters, 0 to 1; of no records it is 0."""
        self._forget(now)
        return self._dead_letters / self._records if self._records else 0.0

    def alarm(self, now: float) -> bool:
        """Say whether there are too many; a few among a few records are no flood."""
        return self.share(now) > self._most_share and self._dead_letters >= self._least

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0].number <= floor(now) - WINDOW_SECONDS:
            gone = self._seconds.popleft()
            self._records -= gone.records
            self._dead_letters -= gone.dead_letters
