"""The query parameters `start` and `end` of lists and time series."""

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


def _time_bounds(start: Moment | None = None, end: Moment | None = None) -> TimeBounds:
    if start is not None and end is not None and end < start:
        raise unprocessable("end is before start")
    return TimeBounds(start, end)


TimeBoundsQuery = Annotated[TimeBounds, Depends(_time_bounds)]


class TimeRange(NamedTuple):
    """[start, end), and which of the two the request contained."""

    start: datetime
    end: datetime
    start_given: bool
    end_given: bool


# Python's calendar ends with the year 9999, and buckets extend beyond the bounds.
_FIRST = datetime.min.replace(tzinfo=UTC) + timedelta(days=3)
_LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=3)


def _time_range(bounds: TimeBoundsQuery) -> TimeRange:
    end = min(max(bounds.end or datetime.now(UTC), _FIRST), _LAST)
    start = bounds.start or floor_to(end - timedelta(days=1), MINUTE)
    return TimeRange(min(max(start, _FIRST), end), end, bounds.start is not None, bounds.end is not None)


TimeRangeQuery = Annotated[TimeRange, Depends(_time_range)]
"""Without `end` the range ends now; without `start` it is 24 hours long."""
