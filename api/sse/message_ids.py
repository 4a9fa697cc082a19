"""The id of an item: when it was published, and by which process.

Ids of all processes are ordered by time, so that a client can go on with another process, or with one that was
restarted. Only within one process does an id say exactly what came before it.
"""

import re
import time
from secrets import token_hex
from typing import NamedTuple, Self

_WRITTEN = re.compile(r"([0-9]{16})-([0-9a-f]{8})")


class MessageId(NamedTuple):
    """`micros` are microseconds since 1970."""

    micros: int
    process: str

    def __str__(self) -> str:
        return f"{self.micros:016}-{self.process}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read one; None where it is none of ours."""
        found = _WRITTEN.fullmatch(text)
        return None if found is None else cls(int(found[1]), found[2])


class MessageIds:
    """Gives out the ids of one process, each greater than the one before, also when the clock is set back."""

    def __init__(self) -> None:
        self.process = token_hex(4)
        self._last = 0

    def next(self) -> MessageId:
        """Return an id for now."""
        self._last = max(self._last + 1, now_micros())
        return MessageId(self._last, self.process)


def now_micros() -> int:
    """Return the time, in microseconds since 1970."""
    return time.time_ns() // 1000
