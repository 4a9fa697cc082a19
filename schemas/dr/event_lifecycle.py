"""What the dispatcher has to do about a DR event, as a rule over the event's times. No I/O.

    scheduled -> active -> completed          stopped before it began: -> cancelled

An event is started once and closed once; `closed_at` ends the dispatcher's work on it. The rule reads only times, so a
dispatcher that takes over after a crash decides the same. The event's status is a column of the view `event_overview`
(migrations/versions/0014_event_status.py).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class EventTimes:
    """When an event is planned, and what happened to it; `ended_at` is an end before `end_time`. UTC."""

    start_time: datetime
    end_time: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancelled_at: datetime | None = None
    deleted_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def over_at(self) -> datetime:
        """When the event is over: its planned end, or an earlier one."""
        return self.ended_at or self.end_time


class EventAction(StrEnum):
    """The next action on an event."""

    WAIT = "wait"
    START = "start"  # choose its participants and send the event to them
    END = "end"  # restore the participants
    MISS = "miss"  # it ended before any dispatcher could start it: close it, and log an error
    DROP = "drop"  # it was stopped or deleted before it was started: close it


def next_action(event: EventTimes, now: datetime) -> EventAction:
    """Return the action that is due at `now`. A late start is due while the event still runs, its end however late."""
    if event.closed_at is not None:
        return EventAction.WAIT
    if event.started_at is not None:
        return EventAction.END if event.over_at <= now else EventAction.WAIT
    if event.cancelled_at is not None or event.deleted_at is not None:
        return EventAction.DROP
    if event.over_at <= now:
        return EventAction.DROP if event.ended_at is not None else EventAction.MISS
    return EventAction.START if event.start_time <= now else EventAction.WAIT
