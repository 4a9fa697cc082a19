"""What else is kept, over REST: fault reports, shadow documents and notices."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from schemas.records.telemetry import FaultReport
from tests.support.readings import NOON, stores
from tests.support.rest import api, assert_problem
from tests.support.servers import Databases, connection

RECEIVED = datetime(2025, 10, 23, 18, 0, 0, 250_000, UTC)
SHADOW = '{"state": {"reported": {"power": 1.10, "big": 123456789012345678901234567890, "name": "vén"}}, "version": 3}'
NOTICE = """
INSERT INTO notices (time, kind, digest, received_at, last_received_at, ven_id, topic, document)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


@pytest_asyncio.fixture(scope="module")
async def client(databases: Databases) -> AsyncIterator[httpx.AsyncClient]:
    settings = await databases.migrated()
    moments = [NOON + timedelta(seconds=second) for second in range(5)]
    async with stores(settings) as store, connection(settings) as rows:
        await store.faults.store(
            [
                FaultReport(ven_id, moment, moment + timedelta(seconds=1), f"E{n}")
                for ven_id in ("ven-1", "ven-2")
                for n, moment in enumerate(moments)
            ]
        )
        await rows.execute("INSERT INTO vens (ven_id, name) VALUES ('silent', 'silent')")
        await rows.execute("INSERT INTO ven_shadows VALUES ('ven-1', NULL, $1, $2)", RECEIVED, SHADOW)
        await rows.executemany(
            NOTICE,
            [
                (moment, kind, str(n), moment, moment + timedelta(hours=1), ven_id, f"vtn/{kind}", json.dumps({"n": n}))
                for n, moment in enumerate(moments)
                for kind, ven_id in (("events", None), ("responses", f"ven-{n % 2}"))
            ],
        )
    async with api(settings) as opened:
        yield opened


def at(second: float) -> str:
    return (NOON + timedelta(seconds=second)).isoformat()


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    slashed = await client.get(f"{path}/", params=query)
    assert slashed.content == answer.content
    return answer.json()


@pytest.mark.parametrize(
    ("query", "total", "errors"),
    [
        ({}, 5, ["E0", "E1", "E2", "E3", "E4"]),
        ({"limit": 2}, 5, ["E3", "E4"]),
        ({"start": at(1), "end": at(3)}, 2, ["E1", "E2"]),
        ({"end": at(3), "limit": 1}, 3, ["E2"]),
        ({"start": at(4)}, 1, ["E4"]),
        ({"start": at(2), "end": at(2)}, 0, []),
    ],
)
async def test_the_newest_faults_of_a_ven_come_oldest_first(
    client: httpx.AsyncClient, query: dict[str, Any], total: int, errors: list[str]
) -> None:
    found = await get(client, "/api/vens/ven-1/faults", **query)
    assert found["totalCount"] == total
    assert [fault["error"] for fault in found["faults"]] == errors


async def test_a_fault_has_its_times(client: httpx.AsyncClient) -> None:
    found = await get(client, "/api/vens/ven-2/faults", limit=1)
    assert found["faults"] == [
        {"timestamp": f"{NOON:%Y-%m-%dT%H:%M}:04Z", "receivedAt": f"{NOON:%Y-%m-%dT%H:%M}:05Z", "error": "E4"}
    ]
    assert await get(client, "/api/vens/silent/faults") == {"totalCount": 0, "faults": []}


async def test_a_shadow_is_the_document_as_it_was_sent(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/vens/ven-1/shadow")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["last-modified"] == "Thu, 23 Oct 2025 18:00:00 GMT"
    assert answer.json() == json.loads(SHADOW)
    assert "1.10" in answer.text
    assert (await client.get("/api/vens/ven-1/shadow/")).content == answer.content


@pytest.mark.parametrize(
    ("query", "total", "expected"),
    [
        ({}, 10, [(n, kind) for n in range(5) for kind in ("events", "responses")]),
        ({"limit": 3}, 10, [(3, "responses"), (4, "events"), (4, "responses")]),
        ({"kind": "events", "limit": 2}, 5, [(3, "events"), (4, "events")]),
        ({"venId": "ven-1"}, 2, [(1, "responses"), (3, "responses")]),
        ({"venId": "ven-1", "kind": "events"}, 0, []),
        ({"start": at(1), "end": at(2)}, 2, [(1, "events"), (1, "responses")]),
    ],
)
async def test_the_newest_notices_come_oldest_first(
    client: httpx.AsyncClient, query: dict[str, Any], total: int, expected: list[tuple[int, str]]
) -> None:
    found = await get(client, "/api/notices", **query)
    assert found["totalCount"] == total
    assert [(notice["document"]["n"], notice["kind"]) for notice in found["notices"]] == expected


async def test_a_notice_says_what_was_sent_where_and_when(client: httpx.AsyncClient) -> None:
    found = await get(client, "/api/notices", venId="ven-0", limit=1)
    assert found["notices"] == [
        {
            "timestamp": f"{NOON:%Y-%m-%dT%H:%M}:04Z",
            "receivedAt": f"{NOON:%Y-%m-%dT%H:%M}:04Z",
            "lastReceivedAt": f"{NOON + timedelta(hours=1):%Y-%m-%dT%H:%M}:04Z",
            "kind": "responses",
            "topic": "vtn/responses",
            "venId": "ven-0",
            "document": {"n": 4},
        }
    ]


@pytest.mark.parametrize("path", ["/api/vens/nobody/faults", "/api/vens/nobody/shadow", "/api/vens/silent/shadow"])
async def test_what_is_not_there_is_a_404(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 404)


BAD = ("limit=0", "limit=5001", "limit=x", "start=never", "start=2025-01-02&end=2025-01-01", "end=%00")


@pytest.mark.parametrize(
    "path",
    [
        *(f"{path}?{query}" for path in ("/api/vens/ven-1/faults", "/api/notices") for query in BAD),
        *("/api/notices?kind=gossip", "/api/notices?venId=", "/api/notices?venId=%00", "/api/notices?limit=1001"),
        *("/api/vens/a%00b/shadow", "/api/vens/a%00b/faults"),
    ],
)
async def test_an_invalid_query_is_refused(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 422)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_ends_of_the_calendar_are_bounds_too(client: httpx.AsyncClient, moment: str) -> None:
    for path in ("/api/vens/ven-1/faults", "/api/notices", "/api/dead-letters"):
        for bound in ("start", "end"):
            assert (await client.get(path, params={bound: moment})).status_code == 200
