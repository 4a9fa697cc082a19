"""The dead-letter rate: the share of the last minute's records that became dead letters."""

from collections import deque
from math import floor
from typing import NamedTuple

WINDOW_SECONDS = 60


class _Second(NamedTuple):
    number: int
    records: int
    dead_letters: int


class DeadLetterRate:
    """Counts records and dead letters in a sliding minute, with one entry per second.

    Times are seconds of a clock that never goes back.
    """

    def __init__(self, max_share: float, min_dead_letters: int) -> None:
        """Call the rate high above `max_share`, given at least `min_dead_letters` within the minute."""
        self._max_share = max_share
        self._min_dead_letters = min_dead_letters
        self._seconds: deque[_Second] = deque()
        self._records = 0
        self._dead_letters = 0

    def count(self, now: float, records: int, dead_letters: int) -> None:
        """Count `records`, of which `dead_letters` became dead letters."""
        self._expire(now)
        number = floor(now)
        if self._seconds and self._seconds[-1].number == number:
            last = self._seconds.pop()
            self._seconds.append(_Second(number, last.records + records, last.dead_letters + dead_letters))
        else:
            self._seconds.append(_Second(number, records, dead_letters))
        self._records += records
        self._dead_letters += dead_letters

    def share(self, now: float) -> float:
        """Return the share of dead letters, 0 to 1; 0 without records."""
        self._expire(now)
        return self._dead_letters / self._records if self._records else 0.0

    def is_high(self, now: float) -> bool:
        """Return whether the rate is high."""
        return self.share(now) > self._max_share and self._dead_letters >= self._min_dead_letters

    def _expire(self, now: float) -> None:
        while self._seconds and self._seconds[0].number <= floor(now) - WINDOW_SECONDS:
            expired = self._seconds.popleft()
            self._records -= expired.records
            self._dead_letters -= expired.dead_letters
