"""How far a command got, and a VEN in an event: rules over the times at which each step was first known. No I/O.

Evidence comes late, again and in any order; each step keeps the first time it was known, and what follows from all
steps together does not depend on the order.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

GOOD = frozenset({"accepted", "success"})
"""What devices say when they did as told."""

CommandState = Literal["decided", "logged", "sending", "sent", "acknowledged", "refused", "unanswered", "expired"]
EventVenStatus = Literal[
    "targeted", "sent", "accepted", "refused", "shedding", "restored", "unanswered", "lost", "expired"
]


@dataclass(frozen=True, slots=True)
class Steps:
    """When each step of a command was first known; the names are those of the columns of `commands`."""

    logged_at: datetime | None = None
    sending_at: datetime | None = None
    sent_at: datetime | None = None
    expired_at: datetime | None = None
    acked_at: datetime | None = None
    ack_status: str | None = None
    unanswered_at: datetime | None = None
    reported_at: datetime | None = None
    shed_at: datetime | None = None
    lost_at: datetime | None = None

    @property
    def went_out(self) -> bool:
        """Whether it may have reached the VEN."""
        return any(step is not None for step in (self.sending_at, self.sent_at, self.acked_at, self.reported_at))


def state_of(steps: Steps) -> CommandState:
    """Tell how far a command got: what the VEN said counts before what the way there shows."""
    if steps.acked_at is not None:
        return "acknowledged" if steps.ack_status in GOOD else "refused"
    if steps.expired_at is not None and not steps.went_out:
        return "expired"
    if steps.unanswered_at is not None:
        return "unanswered"
    if steps.sent_at is not None or steps.reported_at is not None:
        return "sent"
    if steps.sending_at is not None:
        return "sending"
    return "decided" if steps.logged_at is None else "logged"


_OF_THE_EVENT: dict[CommandState, EventVenStatus] = {
    "decided": "targeted",
    "logged": "targeted",
    "sending": "targeted",
    "sent": "sent",
    "acknowledged": "accepted",
    "refused": "refused",
    "unanswered": "unanswered",
    "expired": "expired",
}


def event_ven_status(told: Steps | None, restore: Steps | None, *, sheds: bool) -> EventVenStatus:
    """Tell how far a VEN got in an event, by its last telling, its restore, and whether it sheds for the event.

    `told` None is a VEN that takes part and was not told. Who refused, never reacted, or has lost the event has nothing
    to restore, whatever it says to that: devices answer a restore with success also when nothing was active.
    """
    lost = told is not None and told.lost_at is not None
    took_part = told is not None and (told.reported_at is not None or state_of(told) == "acknowledged")
    restored = restore is not None and (restore.reported_at is not None or state_of(restore) == "acknowledged")
    if took_part and restored and not lost:
        return "restored"
    if sheds:
        return "shedding"
    if told is None:
        return "targeted"
    return "lost" if lost else _OF_THE_EVENT[state_of(told)]
