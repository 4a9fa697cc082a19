"""Buckets of time: how wide they are, and where they begin."""

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

Granularity = Literal["30s", "5m", "1h", "1d"]

WIDTHS: dict[Granularity, timedelta] = {
    "30s": timedelta(seconds=30),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def floor_to(moment: datetime, width: timedelta) -> datetime:
    """Return where the bucket begins that holds a time; counted from 1970, so that days begin at midnight UTC."""
    return moment - (moment - _EPOCH) % width


def ceil_to(moment: datetime, width: timedelta) -> datetime:
    """Return the first beginning of a bucket that is not before a time."""
    return moment + (_EPOCH - moment) % width


def starts(first: datetime, last: datetime, width: timedelta) -> list[datetime]:
    """Return where the buckets begin that end in (first, last]."""
    begin, end = floor_to(first, width), floor_to(last, width)
    return [begin + number * width for number in range((end - begin) // width)]
