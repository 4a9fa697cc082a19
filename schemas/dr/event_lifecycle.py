"""The life of a DR event as rules over its times: what it is at a moment, and what is to be done about it. No I/O.

    scheduled -> active -> completed          stopped before it began: -> cancelled

An event is started once and closed once; `closed_at` ends its life for the dispatcher. Every rule reads only times, so
that whoever comes after a crash decides what the one before would have.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

Status = Literal["scheduled", "active", "completed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Times:
    """When it is to be, and what has happened to it; `ended_at` is an end that came before `end_time`."""

    start_time: datetime
    end_time: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancelled_at: datetime | None = None
    deleted_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def over_at(self) -> datetime:
        """When it ends, or ended."""
        return self.ended_at or self.end_time


class Step(StrEnum):
    """What is to be done about an event."""

    WAIT = "wait"
    START = "start"  # choose its VENs and tell them
    END = "end"  # restore those that were told
    MISS = "miss"  # it ended before anybody could start it: close it, and say so
    DROP = "drop"  # it was stopped or removed before it was started: close it


def status_at(event: Times, now: datetime) -> Status:
    """Tell what an event is at `now`; whether anybody has acted on it is not asked."""
    if event.cancelled_at is not None:
        return "cancelled"
    if event.over_at <= now:
        return "completed"
    return "active" if event.start_time <= now else "scheduled"


def next_step(event: Times, now: datetime) -> Step:
    """Tell what is to be done about an event at `now`: a late start while it still runs, its end however late."""
    if event.closed_at is not None:
        return Step.WAIT
    if event.started_at is not None:
        return Step.END if event.over_at <= now else Step.WAIT
    if event.cancelled_at is not None or event.deleted_at is not None:
        return Step.DROP
    if event.over_at <= now:
        return Step.DROP if event.ended_at is not None else Step.MISS
    return Step.START if event.start_time <= now else Step.WAIT
