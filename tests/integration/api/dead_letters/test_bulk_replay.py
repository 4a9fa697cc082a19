"""Replaying what matches a filter over REST."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
import pytest_asyncio

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState
from schemas.settings.blocks import DatabaseSettings
from tests.support.dead_letter_rows import NOON, dead_letter, insert, set_state
from tests.support.rest import api, assert_problem
from tests.support.servers import Databases, connection

URL = "/api/dead-letters/replay"
WAIT = 60

LETTERS = [
    *(dead_letter(state, n, state=state) for n, state in enumerate(DeadLetterState)),
    dead_letter("other", 10, ven_id="ven-2", reason="too_old", source_topic="ven.telemetry", mqtt_topic=None),
    dead_letter("older", 0, time=NOON - timedelta(days=2)),
]


@pytest_asyncio.fixture
async def client(database: DatabaseSettings, rows: Connection) -> AsyncIterator[httpx.AsyncClient]:
    await insert(rows, LETTERS)
    async with api(database) as opened:
        yield opened


class Untouched(NamedTuple):
    """One database for all that is refused."""

    client: httpx.AsyncClient
    rows: Connection


@pytest_asyncio.fixture(scope="module")
async def untouched(databases: Databases) -> AsyncIterator[Untouched]:
    settings = await databases.migrated()
    async with connection(settings) as rows, api(settings) as client:
        await insert(rows, LETTERS)
        yield Untouched(client, rows)


async def requested(rows: Connection) -> set[str]:
    return {row["key"] for row in await rows.fetch("SELECT key FROM outbox WHERE kind = 'replay'")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"all": True}, {"open", "rejected", "other", "older"}),
        ({"venId": "ven-1"}, {"open", "rejected", "older"}),
        ({"venId": "ven-1", "reason": "too_old"}, set()),
        ({"topic": "ven.telemetry"}, {"other"}),
        ({"topic": "volttron/metering", "state": "rejected"}, {"rejected"}),
        ({"state": "stored"}, {"stored"}),
        ({"end": NOON.isoformat()}, {"older"}),
        ({"start": NOON.isoformat(), "end": (NOON + timedelta(seconds=9)).isoformat()}, {"open", "rejected"}),
        ({"reason": "too_old", "all": True}, {"other"}),
    ],
    ids=["all", "of a VEN", "nothing", "of a topic", "rejected", "stored", "older", "between", "of a reason"],
)
async def test_what_matches_is_replayed(
    client: httpx.AsyncClient, rows: Connection, body: dict[str, Any], expected: set[str]
) -> None:
    answer = await client.post(f"{URL}?wait=0", json=body)
    assert answer.status_code == (202 if expected else 200), answer.text
    found = answer.json()
    assert found["matched"] == found["requested"] == len(expected)
    assert found["outcomes"] == ({"requested": len(expected)} if expected else {})
    assert {each["id"] for each in found["deadLetters"]} == expected == await requested(rows)
    written = await rows.fetchval("SELECT result FROM audit")
    assert set((written or "").split()) == expected
    assert all(set(each) == {"id", "state", "stateDetail", "attempt"} for each in found["deadLetters"])


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_answer_counts_the_outcomes(client: httpx.AsyncClient, rows: Connection, slash: str) -> None:
    asked = asyncio.create_task(client.post(f"{URL}{slash}", json={"all": True}))

    async def all_requested() -> bool:
        return len(await requested(rows)) == 4

    assert await wait_until(all_requested, WAIT)
    await set_state(rows, ["open", "other"], DeadLetterState.STORED)
    await set_state(rows, ["older"], DeadLetterState.ALREADY_STORED)
    await set_state(rows, ["rejected"], DeadLetterState.REJECTED, "bad_id: still bad")
    answer = await asked
    assert answer.status_code == 200
    assert answer.json()["outcomes"] == {"stored": 2, "already_stored": 1, "rejected": 1}
    by_id = {each["id"]: each for each in answer.json()["deadLetters"]}
    assert by_id["rejected"] == {
        "id": "rejected",
        "state": "rejected",
        "stateDetail": "bad_id: still bad",
        "attempt": 1,
    }


async def test_what_is_over_the_limit_is_counted_and_comes_next(client: httpx.AsyncClient, rows: Connection) -> None:
    seen: list[str] = []
    for left in (4, 3, 2, 1, 4):
        answer = (await client.post(f"{URL}?wait=0", json={"all": True, "limit": 1})).json()
        assert (answer["matched"], answer["requested"]) == (left, 1)
        seen.append(answer["deadLetters"][0]["id"])
        if left == 1:
            # All are rejected again: who was tried least often is next, then the oldest.
            await set_state(rows, seen, DeadLetterState.REJECTED)
    assert seen == ["older", "open", "rejected", "other", "older"]


async def test_a_thousand_at_once(client: httpx.AsyncClient, rows: Connection) -> None:
    await insert(rows, [dead_letter(f"many-{n}", n, ven_id="many") for n in range(1100)])
    answer = (await client.post(f"{URL}?wait=0", json={"venId": "many"})).json()
    assert (answer["matched"], answer["requested"], answer["outcomes"]) == (1100, 1000, {"requested": 1000})
    asked = asyncio.create_task(client.post(f"{URL}?wait=30", json={"venId": "many"}, timeout=WAIT))

    async def all_requested() -> bool:
        return len(await requested(rows)) == 1100

    assert await wait_until(all_requested, WAIT)
    await set_state(rows, [f"many-{n}" for n in range(1100)], DeadLetterState.STORED)
    assert (await asked).json()["outcomes"] == {"stored": 100}


async def test_two_at_once_share_the_letters(client: httpx.AsyncClient, rows: Connection) -> None:
    await insert(rows, [dead_letter(f"many-{n}", n, ven_id="many") for n in range(300)])
    answers = await asyncio.gather(*(client.post(f"{URL}?wait=0", json={"venId": "many"}) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert sum(answer.json()["requested"] for answer in answers) == 300
    assert await rows.fetchval("SELECT max(replays) FROM dead_letters WHERE ven_id = 'many'") == 1


async def test_a_deadlock_with_who_marks_outcomes_is_got_over(
    client: httpx.AsyncClient, rows: Connection, database: DatabaseSettings
) -> None:
    mark = "UPDATE dead_letters SET state_at = now() WHERE id = $1"
    async with connection(database) as other, other.transaction():
        await other.execute("SET LOCAL deadlock_timeout = '30s'")  # so that it is the API that finds the deadlock
        await other.execute(mark, "rejected")
        asked = asyncio.create_task(client.post(f"{URL}?wait=0", json={"all": True}))
        assert await wait_until(lambda: _somebody_waits(rows), WAIT)
        await other.execute(mark, "older")
    assert (await asked).json()["requested"] == 4


async def _somebody_waits(rows: Connection) -> bool:
    return bool(await rows.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"limit": 5}, {"all": False}, {"all": True, "limit": 0}, {"all": True, "limit": 1001}),
        *({"venid": "ven-1", "all": True}, {"venId": "", "all": True}, {"venId": "a\0", "all": True}),
        *({"state": "gone"}, {"reason": "a\0"}, {"start": "never"}, {"venId": 5}, {"payload": {}, "all": True}),
        *({"start": "2025-01-02T00:00:00Z", "end": "2025-01-01T00:00:00Z"}, [], None, "x"),
    ],
    ids=str,
)
async def test_an_invalid_replay_request_is_refused(untouched: Untouched, body: Any) -> None:
    assert_problem(await untouched.client.post(URL, json=body), 422)
    assert await requested(untouched.rows) == set()


async def test_nobody_replays_everything_by_accident(untouched: Untouched) -> None:
    problem = assert_problem(await untouched.client.post(URL, json={}), 422)
    assert '"all": true' in problem["errors"][0]["message"]
    assert_problem(await untouched.client.post(URL), 422)
    assert await requested(untouched.rows) == set()


async def test_a_letter_is_never_marked_without_its_request(
    client: httpx.AsyncClient, rows: Connection, database: DatabaseSettings
) -> None:
    """The request cannot be written, and then nothing has happened."""
    async with connection(database) as other, other.transaction():
        await other.execute("DROP TABLE outbox")
        asked = asyncio.create_task(client.post(f"{URL}?wait=0", json={"all": True}))
        assert await wait_until(lambda: _somebody_waits(rows), WAIT)
    assert (await asked).status_code == 500
    assert await rows.fetchval("SELECT max(replays) FROM dead_letters") == 0
    with pytest.raises(asyncpg.UndefinedTableError):
        await requested(rows)
