"""The ids of feed messages: the time of publication and the process.

All processes' ids are ordered by time, so a client can resume at another process or after a restart. Only within one
process does an id say exactly which messages came before it.
"""

import re
import time
from secrets import token_hex
from typing import NamedTuple, Self

_PATTERN = re.compile(r"([0-9]{16})-([0-9a-f]{8})")


class MessageId(NamedTuple):
    """`micros` are microseconds since 1970."""

    micros: int
    process: str

    def __str__(self) -> str:
        return f"{self.micros:016}-{self.process}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse an id; None if the text is not one."""
        match = _PATTERN.fullmatch(text)
        return None if match is None else cls(int(match[1]), match[2])


class MessageIds:
    """Generates the ids of one process. They always increase, also when the clock is set back."""

    def __init__(self) -> None:
        self.process = token_hex(4)
        self._last = 0

    def next(self) -> MessageId:
        """Return an id for now."""
        self._last = max(self._last + 1, now_micros())
        return MessageId(self._last, self.process)


def now_micros() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000
