"""The acknowledgement queue: received messages that have no PUBACK yet, in order, each with its connection."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")
M = TypeVar("M")


@dataclass(slots=True, eq=False)
class PendingPuback(Generic[C, M]):
    """One message without a PUBACK; `confirmed` once Kafka has stored it."""

    connection: C
    message: M
    confirmed: bool = False


class PubackQueue(Generic[C, M]):
    """A queue that acknowledges only from its head.

    Kafka confirms messages in any order, but MQTT requires PUBACKs in the order of the PUBLISHes (MQTT-4.6.0-2), so a
    confirmed message waits for those before it. Messages of a lost connection are not acknowledged: the broker sends
    them again on the next one.
    """

    def __init__(self, acknowledge: Callable[[C, Sequence[M]], None], on_change: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._on_change = on_change
        self._pending: deque[PendingPuback[C, M]] = deque()
        self._connection: C | None = None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def oldest(self) -> M | None:
        """The message that has waited longest; None if the queue is empty."""
        return self._pending[0].message if self._pending else None

    def attach(self, connection: C) -> None:
        """Acknowledge only messages of this connection from now on."""
        self._connection = connection

    def add(self, connection: C, message: M) -> PendingPuback[C, M]:
        """Add a message."""
        pending = PendingPuback(connection, message)
        self._pending.append(pending)
        self._on_change(len(self._pending))
        return pending

    def confirm(self, *confirmed: PendingPuback[C, M]) -> None:
        """Mark messages as confirmed, and acknowledge all confirmed messages at the head."""
        for each in confirmed:
            each.confirmed = True
        pending, due = self._pending, []
        while pending and pending[0].confirmed:
            head = pending.popleft()
            if head.connection is self._connection:
                due.append(head.message)
        if due and self._connection is not None:
            self._acknowledge(self._connection, due)
        self._on_change(len(pending))
