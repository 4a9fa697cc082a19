"""A VEN's readings over REST: intervals, limits, and times of every kind."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from schemas.settings.blocks import DatabaseSettings
from tests.support.readings import NOON, reading, stores
from tests.support.rest import api, assert_problem
from tests.support.servers import Databases

URL = "/api/vens/ven-1/telemetry"
BEGIN = NOON - timedelta(days=3)
COUNT = 10


def at(second: float) -> str:
    return (BEGIN + timedelta(seconds=second)).isoformat()


@pytest_asyncio.fixture(scope="module")
async def filled(databases: Databases) -> DatabaseSettings:
    settings = await databases.migrated()
    async with stores(settings) as store:
        moments = [BEGIN + timedelta(seconds=second) for second in range(COUNT)]
        batch = [reading(timestamp=moment, used_power_kw=float(n)) for n, moment in enumerate(moments)]
        await store.readings.store([*batch, *(reading("other", timestamp=moment) for moment in moments)])
        now = datetime.now(UTC)
        # Younger than a day, older than a day, and of a clock that is ahead.
        edges = [
            now - timedelta(hours=23, minutes=50),
            now - timedelta(hours=24, minutes=10),
            now + timedelta(minutes=3),
        ]
        await store.readings.store([reading("recent", timestamp=moment) for moment in edges])
    return settings


@pytest_asyncio.fixture(scope="module")
async def client(filled: DatabaseSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with api(filled) as opened:
        yield opened


async def powers(client: httpx.AsyncClient, **query: Any) -> tuple[int, list[float]]:
    answer = await client.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["totalCount"], [row["usedPowerKw"] for row in answer.json()["telemetry"]]


async def test_a_row_has_the_fields_of_the_contract(databases: Databases) -> None:
    settings = await databases.migrated()
    full = reading(
        timestamp=NOON + timedelta(microseconds=250),
        shed_power_kw=0.5,
        requested_reduction_kw=2.0,
        event_id="evt",
        battery_soc=0.75,
        baseline_power_kw=3.0,
    )
    async with stores(settings) as store, api(settings) as client:
        await store.readings.store([full, reading(second=1, used_power_kw=None)])
        answer = await client.get(URL, params={"start": NOON.isoformat()})
    first, second = answer.json()["telemetry"]
    assert first == {
        "timestamp": f"{NOON:%Y-%m-%dT12:00:00.000250Z}",
        "usedPowerKw": 1.0,
        "shedPowerKw": 0.5,
        "requestedReductionKw": 2.0,
        "eventId": "evt",
        "batterySoc": 0.75,
        "baselinePowerKw": 3.0,
    }
    assert second == {**dict.fromkeys(first), "timestamp": f"{NOON:%Y-%m-%dT12:00:01Z}"}


async def test_the_interval_is_half_open(client: httpx.AsyncClient) -> None:
    assert await powers(client, start=at(2), end=at(5)) == (3, [2.0, 3.0, 4.0])
    assert await powers(client, start=at(2), end=at(2)) == (0, [])
    assert await powers(client, start=at(9)) == (1, [9.0])
    assert await powers(client, end=at(0.5)) == (1, [0.0])
    # An end alone looks back a day from there.
    assert await powers(client, end=(BEGIN + timedelta(hours=24, seconds=3)).isoformat()) == (
        7,
        list(map(float, range(3, 10))),
    )


async def test_the_newest_are_given_oldest_first_and_all_are_counted(client: httpx.AsyncClient) -> None:
    assert await powers(client, start=at(0), limit=3) == (COUNT, [7.0, 8.0, 9.0])
    assert await powers(client, start=at(1), end=at(6), limit=2) == (5, [4.0, 5.0])
    assert await powers(client, start=at(0), limit=5000) == (COUNT, list(map(float, range(COUNT))))


async def test_without_bounds_it_is_the_last_day(client: httpx.AsyncClient) -> None:
    assert await powers(client) == (0, [])
    assert (await client.get("/api/vens/recent/telemetry")).json()["totalCount"] == 2


async def test_times_are_understood_with_and_without_a_zone(client: httpx.AsyncClient) -> None:
    begin = BEGIN + timedelta(seconds=8)
    east = begin.replace(tzinfo=None) + timedelta(hours=5, minutes=30)
    for start in (
        begin.isoformat(),
        begin.replace(tzinfo=None).isoformat(),
        f"{begin:%Y-%m-%dT%H:%M:%SZ}",
        f"{east.isoformat()}+05:30",
        str(begin.timestamp()),
        str(int(begin.timestamp() * 1000)),
    ):
        assert await powers(client, start=start) == (2, [8.0, 9.0]), start


@pytest.mark.parametrize(
    "query",
    [
        {"start": at(5), "end": at(4)},
        {"start": "yesterday"},
        {"start": ""},
        {"end": "2025-02-30T00:00:00Z"},
        {"start": "\0"},
        {"end": "2025-01-01T00:00:00Z\0"},
        {"limit": "0"},
        {"limit": "5001"},
        {"limit": "-1"},
        {"limit": "\0"},
        {"limit": "9" * 400},
    ],
)
async def test_an_invalid_query_is_refused(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert_problem(await client.get(URL, params=query), 422)


ABSURD = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00-14:00", "0001-01-01"),
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59+14:00", "10000-01-01T00:00:00Z"),
    *(
        "0",
        "-1",
        "-62135596800",
        "253402300799",
        "1e308",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "9" * 400,
        "2025-01-01T24:00:00Z",
    ),
)


@pytest.mark.parametrize("moment", ABSURD)
async def test_absurd_times_are_answered_or_refused(client: httpx.AsyncClient, moment: str) -> None:
    for query in (
        {"start": moment},
        {"end": moment},
        {"start": moment, "end": moment},
        {"start": at(0), "end": moment},
    ):
        answer = await client.get(URL, params=query)
        if answer.status_code != 200:
            assert_problem(answer, 422)
