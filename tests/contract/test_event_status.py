"""The status of an event in SQL is the one of the rule, at every moment of its life."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.queries.events import STATUS
from runtime.database import Connection
from schemas.dr.event_lifecycle import Times, status_at
from tests.support.servers import Databases, connect

COLUMNS = ("start_time", "end_time", "started_at", "ended_at", "cancelled_at", "deleted_at", "closed_at")
QUERY = "SELECT {status} FROM (SELECT {columns}) AS events".format(  # noqa: S608 - our own
    status=STATUS, columns=", ".join(f"${number}::timestamptz AS {name}" for number, name in enumerate(COLUMNS, 1))
)
# Seconds from now, and now itself often.
SECONDS = st.integers(-3, 3)


@pytest_asyncio.fixture(scope="module")
async def rows(databases: Databases) -> AsyncIterator[Connection]:
    opened = await connect(await databases.migrated())
    yield opened
    await opened.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    bounds=st.tuples(SECONDS, SECONDS).filter(lambda bounds: bounds[0] < bounds[1]),
    others=st.tuples(*(st.none() | SECONDS for _ in COLUMNS[2:])),
)
async def test_sql_and_the_rule_agree(
    rows: Connection, bounds: tuple[int, int], others: tuple[int | None, ...]
) -> None:
    async with rows.transaction():
        now = await rows.fetchval("SELECT now()")
        moments: list[Any] = [None if each is None else now + timedelta(seconds=each) for each in (*bounds, *others)]
        event = Times(*moments)
        assert await rows.fetchval(QUERY, *moments) == status_at(event, now)
