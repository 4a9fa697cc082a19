"""What was taken from MQTT and is not yet acknowledged: in order, bounded, and tied to its connection."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")
M = TypeVar("M")


@dataclass(slots=True, eq=False)
class Entry(Generic[C, M]):
    """One message under way; `done` once the log holds it."""

    connection: C
    message: M
    done: bool = False


class Outstanding(Generic[C, M]):
    """A FIFO that acknowledges from its head only.

    The log confirms messages in any order, but MQTT wants PUBACKs in the order of the PUBLISHes (MQTT-4.6.0-2), so a
    confirmed message waits for those before it. Acknowledgements of a connection that is gone are left out: the broker
    sends those messages again on the next one.
    """

    def __init__(self, acknowledge: Callable[[C, Sequence[M]], None], on_change: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._on_change = on_change
        self._entries: deque[Entry[C, M]] = deque()
        self._current: C | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> M | None:
        """The message that has waited for the longest; None where there is none."""
        return self._entries[0].message if self._entries else None

    def use(self, connection: C) -> None:
        """From now on only messages of this connection are acknowledged."""
        self._current = connection

    def add(self, connection: C, message: M) -> Entry[C, M]:
        """Take a message in."""
        entry = Entry(connection, message)
        self._entries.append(entry)
        self._on_change(len(self._entries))
        return entry

    def confirm(self, *confirmed: Entry[C, M]) -> None:
        """Note that the log holds messages, and acknowledge all that are now due."""
        for entry in confirmed:
            entry.done = True
        entries, due = self._entries, []
        while entries and entries[0].done:
            head = entries.popleft()
            if head.connection is self._current:
                due.append(head.message)
        if due and self._current is not None:
            self._acknowledge(self._current, due)
        self._on_change(len(entries))
