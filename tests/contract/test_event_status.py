"""The status of an event follows from its times and moves forward only."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.database import Connection
from tests.support.servers import Databases, connect

INSERT = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, started_at, ended_at, cancelled_at,
                    deleted_at, closed_at)
VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8)
"""
STATUS = "SELECT status FROM event_overview WHERE event_id = $1"
# Seconds from now, and now itself often.
SECONDS = st.integers(-3, 3)
BOUNDS = st.tuples(SECONDS, SECONDS).filter(lambda bounds: bounds[0] < bounds[1])


@pytest_asyncio.fixture(scope="module")
async def rows(databases: Databases) -> AsyncIterator[Connection]:
    opened = await connect(await databases.migrated())
    yield opened
    await opened.close()


async def status_of(
    rows: Connection,
    start: float,
    end: float,
    *,
    started: float | None = None,
    ended: float | None = None,
    cancelled: float | None = None,
    deleted: float | None = None,
    closed: float | None = None,
) -> str:
    """Return the status of an event whose times are seconds from now."""
    async with rows.transaction():
        now: datetime = await rows.fetchval("SELECT now()")
        times = (start, end, started, ended, cancelled, deleted, closed)
        await rows.execute("DELETE FROM events")
        await rows.execute(INSERT, "e", *(None if each is None else now + timedelta(seconds=each) for each in times))
        status: str = await rows.fetchval(STATUS, "e")
        return status


@pytest.mark.parametrize(
    ("start", "end", "ended", "cancelled", "status"),
    [
        (1, 2, None, None, "scheduled"),
        (0, 1, None, None, "active"),
        (-1, 1, None, None, "active"),
        (-1, 0, None, None, "completed"),
        (-2, -1, None, None, "completed"),
        (-2, 2, -1, None, "completed"),
        (-2, 2, 0, None, "completed"),
        (-2, 2, 1, None, "active"),
        (1, 2, None, -1, "cancelled"),
        (-2, -1, None, -3, "cancelled"),
        (-2, 1, -1, -1, "cancelled"),
    ],
)
async def test_status_follows_from_the_times(
    rows: Connection, start: float, end: float, ended: float | None, cancelled: float | None, status: str
) -> None:
    assert await status_of(rows, start, end, ended=ended, cancelled=cancelled) == status


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(BOUNDS, st.none() | SECONDS, st.none() | SECONDS, st.none() | SECONDS, st.none() | SECONDS, st.none() | SECONDS)
async def test_the_dispatchers_columns_do_not_change_the_status(
    rows: Connection,
    bounds: tuple[int, int],
    started: int | None,
    ended: int | None,
    cancelled: int | None,
    deleted: int | None,
    closed: int | None,
) -> None:
    plain = await status_of(rows, *bounds, ended=ended, cancelled=cancelled)
    acted = await status_of(
        rows, *bounds, ended=ended, cancelled=cancelled, started=started, deleted=deleted, closed=closed
    )
    assert acted == plain


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    start=st.floats(0, 300),
    looks=st.lists(st.floats(0, 400), min_size=1, max_size=8).map(sorted),
    stop=st.none() | st.floats(0, 400),
)
async def test_status_moves_forward_only(
    rows: Connection, start: float, looks: list[float], stop: float | None
) -> None:
    order = ["scheduled", "active", "completed", "cancelled"]
    last = 0
    for look in looks:
        # As the API stops it: cancelled before it began, ended while it was active.
        stopped = stop is not None and stop <= look and stop < start + 50
        ended = stop - look if stopped and stop is not None and stop >= start else None
        cancelled = stop - look if stopped and stop is not None and stop < start else None
        status = await status_of(rows, start - look, start + 50 - look, ended=ended, cancelled=cancelled)
        now = order.index(status)
        assert now >= last
        last = now
