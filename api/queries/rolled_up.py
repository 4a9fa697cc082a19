"""Which part of a time range is rolled up."""

from datetime import datetime, timedelta

from runtime.database import PooledConnection
from schemas.tables.buckets import ceil_to, floor_to

ROLLED_UP_TO = "SELECT rolled_up_to FROM rollup_progress"


async def fetch_rolled_up_to(connection: PooledConnection) -> datetime:
    """Return up to when all minutes are rolled up."""
    rolled_up_to: datetime = await connection.fetchval(ROLLED_UP_TO)
    return rolled_up_to


def whole_buckets(
    start: datetime, end: datetime, rolled_up_to: datetime, width: timedelta
) -> tuple[datetime, datetime]:
    """Return the range of complete, rolled-up buckets in [start, end); both are `end` if there are none."""
    first, last = ceil_to(start, width), floor_to(min(end, rolled_up_to), width)
    return (first, last) if first < last else (end, end)
