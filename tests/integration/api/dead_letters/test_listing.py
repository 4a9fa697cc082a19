"""Dead letters over REST: found by every filter, page by page, and read whole."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.queries.compiled import compile_sql
from api.queries.dead_letters import SUMMARY, DeadLetterFilter, DeadLetterKey, page
from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState
from schemas.settings.blocks import DatabaseSettings
from tests.support.dead_letter_rows import NOON, dead_letter, insert
from tests.support.rest import api, assert_problem
from tests.support.servers import Databases, connection

URL = "/api/dead-letters"
DAYS = 4

VARIED = [
    dead_letter("plain", 0),
    dead_letter("other-ven", 1, ven_id="ven-2"),
    dead_letter("other-topic", 2, source_topic="ven.telemetry", mqtt_topic="ven/telemetry/ven-1"),
    dead_letter("no-ven", 3, ven_id=None, mqtt_topic=None, reason="not_json", payload=b"\xff\x00", headers="{}"),
    dead_letter("stored", 4, state=DeadLetterState.STORED, replays=2),
    dead_letter("refused", 5, state=DeadLetterState.REJECTED, state_detail="bad_time: still none", replays=1),
    dead_letter("zoë 50%&+", 6, reason="bad_id", ven_id="vén & co"),
]


@pytest_asyncio.fixture(scope="module")
async def filled(databases: Databases) -> DatabaseSettings:
    settings = await databases.migrated()
    async with connection(settings) as rows:
        await insert(rows, VARIED)
    return settings


@pytest_asyncio.fixture(scope="module")
async def client(filled: DatabaseSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with api(filled) as opened:
        yield opened


async def found(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    return [each["id"] for each in answer.json()["deadLetters"]]


async def test_a_letter_in_the_list_says_all_but_its_content(client: httpx.AsyncClient) -> None:
    answer = await client.get(URL, params={"state": "rejected"})
    assert answer.json() == {
        "deadLetters": [
            {
                "id": "refused",
                "receivedAt": f"{NOON:%Y-%m-%dT%H:%M}:05Z",
                "topic": "ven.raw.metering",
                "mqttTopic": "volttron/metering",
                "venId": "ven-1",
                "reason": "bad_time",
                "detail": "no time at all",
                "size": 18,
                "state": "rejected",
                "stateAt": None,
                "stateDetail": "bad_time: still none",
                "replays": 1,
            }
        ],
        "next": None,
    }
    assert "link" not in answer.headers
    assert (await client.get(f"{URL}/", params={"state": "rejected"})).json() == answer.json()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["zoë 50%&+", "refused", "stored", "no-ven", "other-topic", "other-ven", "plain"]),
        ({"venId": "ven-2"}, ["other-ven"]),
        ({"venId": "vén & co"}, ["zoë 50%&+"]),
        ({"topic": "ven.telemetry"}, ["other-topic"]),
        ({"topic": "ven/telemetry/ven-1"}, ["other-topic"]),
        ({"reason": "not_json"}, ["no-ven"]),
        ({"reason": "what_others_write"}, []),
        ({"state": "open", "venId": "ven-1"}, ["other-topic", "plain"]),
        ({"state": "sent"}, []),
        ({"start": (NOON + timedelta(seconds=5)).isoformat()}, ["zoë 50%&+", "refused"]),
        ({"end": (NOON + timedelta(seconds=1)).isoformat()}, ["plain"]),
        (
            {"start": NOON.isoformat(), "end": (NOON + timedelta(seconds=2)).isoformat(), "venId": "ven-2"},
            ["other-ven"],
        ),
        (
            {"topic": "volttron/metering", "reason": "bad_time", "venId": "ven-1", "state": "rejected"},
            ["refused"],
        ),
        ({"venId": "'; DROP TABLE dead_letters; --"}, []),
    ],
)
async def test_every_filter_counts(client: httpx.AsyncClient, query: dict[str, str], expected: list[str]) -> None:
    assert await found(client, **query) == expected


async def test_a_whole_letter_has_its_content(client: httpx.AsyncClient) -> None:
    whole = (await client.get(f"{URL}/plain")).json()
    assert (await client.get(f"{URL}/plain/")).json() == whole
    (listed,) = [each for each in (await client.get(URL)).json()["deadLetters"] if each["id"] == "plain"]
    assert {name: whole.pop(name) for name in listed} == listed
    assert whole == {
        "payload": '{"venId": "ven-1"}',
        "payloadBase64": None,
        "correctedPayload": None,
        "correctedPayloadBase64": None,
        "headers": {"mqtt-topic": "volttron/metering"},
        "source": {"topic": "ven.raw.metering", "partition": 0, "offset": 7},
    }


async def test_a_payload_that_is_no_text_is_base64(client: httpx.AsyncClient) -> None:
    whole = (await client.get(f"{URL}/no-ven")).json()
    assert (whole["payload"], whole["payloadBase64"]) == (None, b64encode(b"\xff\x00").decode())
    assert (await client.get(f"{URL}/zo%C3%AB%2050%25&+")).json()["venId"] == "vén & co"


@pytest.mark.parametrize(
    ("payload", "text"),
    [(b"", ""), (b"a\x00b", "a\0b"), ("é\N{GRINNING FACE}".encode(), "é\N{GRINNING FACE}"), (b"\xed\xa0\x80", None)],
)
async def test_any_payload_is_shown(
    database: DatabaseSettings, rows: Connection, payload: bytes, text: str | None
) -> None:
    await insert(rows, [dead_letter("one", payload=payload)])
    await rows.execute("UPDATE dead_letters SET corrected_payload = $1", payload)
    async with api(database) as client:
        whole = (await client.get(f"{URL}/one")).json()
    base64 = b64encode(payload).decode() if text is None else None
    assert (whole["size"], whole["payload"], whole["payloadBase64"]) == (len(payload), text, base64)
    assert (whole["correctedPayload"], whole["correctedPayloadBase64"]) == (text, base64)


@pytest.mark.parametrize("path", ["nobody", "nobody/", "a%2Fb", "replay", "%F0%9F%98%80"])
async def test_an_unknown_letter_is_a_404(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(f"{URL}/{path}"), 404)


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=x", "state=gone", "state=", "reason=", "venId=", "venId=%00"),
        *("topic=a%00b", "start=never", "start=2025-01-02&end=2025-01-01", "cursor=x", "cursor=%00", "cursor="),
        # Times out of any calendar, without a letter, and with a NUL in its id.
        *("cursor=MjAyNS0wMS0wMVQwMDowMDowMFo", "cursor=MjAyNS0wMS0wMVQwMDowMDowMFogYQBi"),
        "cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCBh",
    ],
)
async def test_an_invalid_filter_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"{URL}?{query}"), 422)
    assert_problem(await client.get(f"{URL}/%00"), 422)


async def test_pages_are_complete_and_stay_so_while_letters_arrive(
    database: DatabaseSettings, rows: Connection
) -> None:
    # Many at the same instant, and over days: the id decides where the time does not.
    times = [NOON - timedelta(days=day) for day in range(DAYS)]
    old = [dead_letter(f"{day}-{n:02}", time=time) for day, time in enumerate(times) for n in range(7)]
    await insert(rows, [*old, *(dead_letter(f"x-{n}", time=time, ven_id="ven-2") for n, time in enumerate(times))])
    async with api(database) as client:
        path: str | None = f"{URL}?limit=5&venId=ven-1&reason=bad_time"
        seen: list[str] = []
        sizes = []
        while path:
            answer = await client.get(path)
            page = answer.json()
            seen += [each["id"] for each in page["deadLetters"]]
            sizes.append(len(page["deadLetters"]))
            link = answer.links.get("next")
            assert (link is None) == (page["next"] is None)
            path = str(link["url"]) if link else None
            await insert(rows, [dead_letter(f"new-{len(sizes)}", time=datetime.now(UTC))])
        assert seen == sorted((each["id"] for each in old), key=lambda name: (-int(name[0]), name), reverse=True)
        assert sizes == [5, 5, 5, 5, 5, 3]
        # The cursor alone serves as well.
        page = (await client.get(URL, params={"limit": 2})).json()
        again = (await client.get(URL, params={"limit": 1, "cursor": page["next"]})).json()
        three = (await client.get(URL, params={"limit": 3})).json()
        assert again["deadLetters"] == three["deadLetters"][2:]


FILLED_DAYS = 30


@pytest_asyncio.fixture(scope="module")
async def crowded(databases: Databases) -> DatabaseSettings:
    """A month with some thousand letters a day."""
    settings = await databases.migrated()
    async with connection(settings) as rows:
        await insert(rows, [dead_letter(f"day-{day}", time=NOON - timedelta(days=day)) for day in range(FILLED_DAYS)])
        await rows.execute(
            """
            INSERT INTO dead_letters (id, time, source_topic, ven_id, reason, detail, headers, payload)
            SELECT md5(d || ' ' || n), $1::timestamptz - d * interval '1 day' + n * interval '1 second', 'ven.raw.x',
                   'ven-' || n % 200, CASE WHEN n % 50 = 0 THEN 'too_new' ELSE 'bad_time' END, 'x', '{}',
                   convert_to(repeat('x', 600), 'UTF8')
            FROM generate_series(0, $2::int - 1) AS d, generate_series(1, 2000) AS n
            """,
            NOON,
            FILLED_DAYS,
        )
        await rows.execute("ANALYZE dead_letters")
    return settings


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]


@pytest.mark.parametrize("later_page", [False, True])
@pytest.mark.parametrize("filters", [{}, {"ven_id": "ven-7"}, {"reason": "too_new"}], ids=str)
async def test_a_page_reads_an_index_and_few_partitions(
    crowded: DatabaseSettings, filters: dict[str, Any], *, later_page: bool
) -> None:
    older_than = DeadLetterKey(NOON - timedelta(days=20), "m") if later_page else None
    query = compile_sql(page(SUMMARY, DeadLetterFilter(**filters), older_than, 101))
    async with connection(crowded) as rows:
        (plan,) = json.loads(await rows.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.sql}", *query.values))
    read = [node for node in _nodes(plan["Plan"]) if "Relation Name" in node and node["Actual Rows"]]
    assert "Seq Scan" not in {node["Node Type"] for node in read}
    assert sum(node["Actual Rows"] for node in read) < 200
    assert len(read) < FILLED_DAYS / 2
