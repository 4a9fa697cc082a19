"""The interval of time that a list is asked for."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Depends

from api.http.problems import unprocessable
from schemas.rest.model import Moment
from schemas.tables.buckets import MINUTE, floor_to


class TimeBounds(NamedTuple):
    """[start, end); None is no bound."""

    start: datetime | None
    end: datetime | None


def _bounds(start: Moment | None = None, end: Moment | None = None) -> TimeBounds:
    if start is not None and end is not None and end < start:
        raise unprocessable("end is before start")
    return TimeBounds(start, end)


TimeBoundsQuery = Annotated[TimeBounds, Depends(_bounds)]


class TimeRange(NamedTuple):
    """[start, end)."""

    start: datetime
    end: datetime
    start_given: bool
    end_given: bool


# Python's calendar ends in year 9999, and buckets reach beyond the bounds.
_FIRST = datetime.min.replace(tzinfo=UTC) + timedelta(days=3)
_LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=3)


def _last_day(interval: TimeBoundsQuery) -> TimeRange:
    end = min(max(interval.end or datetime.now(UTC), _FIRST), _LAST)
    start = interval.start or floor_to(end - timedelta(days=1), MINUTE)
    return TimeRange(min(max(start, _FIRST), end), end, interval.start is not None, interval.end is not None)


TimeRangeQuery = Annotated[TimeRange, Depends(_last_day)]
"""An interval of which a bound that is missing makes it the last 24 hours."""
