"""Replaying one letter over REST; the test does what the streams would."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from gateway.stack.polling import wait_until
from gateway.stack.postgres import Postgres
from migrations.run import migrate
from runtime.database import Connection
from schemas.parsing.common import MAX_PAYLOAD_BYTES
from schemas.records.dead_letters import DeadLetterState
from schemas.settings.blocks import DatabaseSettings
from tests.support.dead_letter_rows import NOON, dead_letter, insert, set_state
from tests.support.rest import api, assert_problem
from tests.support.servers import Databases, connection, settings_of

URL = "/api/dead-letters"
WAIT = 60


@pytest_asyncio.fixture
async def client(database: DatabaseSettings, rows: Connection) -> AsyncIterator[httpx.AsyncClient]:
    await insert(rows, [dead_letter("one"), dead_letter("two", 1)])
    async with api(database) as opened:
        yield opened


class Shared(NamedTuple):
    """One database for the tests that leave nothing behind which others mind."""

    client: httpx.AsyncClient
    rows: Connection


@pytest_asyncio.fixture(scope="module")
async def shared(databases: Databases) -> AsyncIterator[Shared]:
    settings = await databases.migrated()
    async with connection(settings) as rows, api(settings) as client:
        await insert(rows, [dead_letter("one"), dead_letter("untouched")])
        yield Shared(client, rows)


async def untouched(rows: Connection) -> bool:
    return bool(await rows.fetchval("SELECT replays = 0 FROM dead_letters WHERE id = 'untouched'"))


async def requests(rows: Connection) -> list[tuple[str, datetime]]:
    found = await rows.fetch("SELECT key, time FROM outbox WHERE kind = 'replay' ORDER BY id")
    return [(row["key"], row["time"]) for row in found]


async def requested(rows: Connection, count: int) -> bool:
    return await wait_until(lambda: _are_requested(rows, count), WAIT)


async def _are_requested(rows: Connection, count: int) -> bool:
    return len(await requests(rows)) == count


async def test_a_request_is_written_down_for_the_streams(client: httpx.AsyncClient, rows: Connection) -> None:
    await rows.execute(
        "UPDATE dead_letters SET state = 'rejected', state_detail = 'x', corrected_payload = 'old', replays = 3"
    )
    answer = await client.post(f"{URL}/one/replay?wait=0")
    assert answer.status_code == 202
    assert answer.json() == {"id": "one", "state": "requested", "stateDetail": None, "attempt": 4}
    assert await requests(rows) == [("one", NOON)]
    row = await rows.fetchrow("SELECT * FROM dead_letters WHERE id = 'one'")
    assert row is not None
    assert (row["state"], row["state_detail"], row["replays"], row["corrected_payload"]) == (
        "requested",
        None,
        4,
        b"old",  # what was tried last: the original is known to be bad
    )
    assert abs((datetime.now(UTC) - row["state_at"]).total_seconds()) < 60
    assert await rows.fetchval("SELECT state FROM dead_letters WHERE id = 'two'") == "rejected"


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        (DeadLetterState.STORED, None),
        (DeadLetterState.ALREADY_STORED, None),
        (DeadLetterState.REJECTED, "bad_time: still none"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_answer_waits_for_the_outcome(
    client: httpx.AsyncClient, rows: Connection, state: DeadLetterState, detail: str | None, slash: str
) -> None:
    asked = asyncio.create_task(client.post(f"{URL}/one/replay{slash}"))
    assert await requested(rows, 1)
    await set_state(rows, ["one"], DeadLetterState.SENT)
    await set_state(rows, ["one"], state, detail)
    answer = await asked
    assert answer.status_code == 200
    assert answer.json() == {"id": "one", "state": state, "stateDetail": detail, "attempt": 1}


async def test_what_takes_too_long_is_told_as_it_stands(client: httpx.AsyncClient, rows: Connection) -> None:
    began = time.monotonic()
    asked = asyncio.create_task(client.post(f"{URL}/one/replay?wait=3"))
    assert await requested(rows, 1)
    await set_state(rows, ["one"], DeadLetterState.SENT)
    answer = await asked
    assert time.monotonic() - began >= 3
    assert answer.status_code == 202
    assert answer.json() == {"id": "one", "state": "sent", "stateDetail": None, "attempt": 1}


async def test_two_requests_at_once_are_two_attempts(client: httpx.AsyncClient, rows: Connection) -> None:
    asked = [asyncio.create_task(client.post(f"{URL}/one/replay")) for _ in range(5)]
    assert await requested(rows, 5)
    await set_state(rows, ["one"], DeadLetterState.STORED)
    answers = [await each for each in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["attempt"] for answer in answers) == [1, 2, 3, 4, 5]
    assert {answer.json()["state"] for answer in answers} == {"stored"}
    # The newest of them is published, with the number of its attempt.
    assert await requests(rows) == [("one", NOON)] * 5
    assert await rows.fetchval("SELECT replays FROM dead_letters WHERE id = 'one'") == 5


async def test_a_stored_letter_can_be_replayed_again(client: httpx.AsyncClient, rows: Connection) -> None:
    await set_state(rows, ["one"], DeadLetterState.STORED)
    answer = await client.post(f"{URL}/one/replay?wait=0")
    # The old outcome is none of this attempt.
    assert (answer.status_code, answer.json()["state"]) == (202, "requested")


@pytest.mark.parametrize(
    ("body", "corrected_payload"),
    [
        (None, None),
        ({}, None),
        ({"payload": {"venId": "vén", "n": [1, 2.5, None]}}, '{"venId": "vén", "n": [1, 2.5, null]}'.encode()),
        ({"payload": None}, b"null"),
        ({"payload": ""}, b'""'),
        ({"payloadText": ""}, b""),
        ({"payloadText": "not \0 JSON"}, b"not \0 JSON"),
        ({"payloadBase64": b64encode(b"\xff\x00").decode()}, b"\xff\x00"),
        ({"payloadText": "x" * MAX_PAYLOAD_BYTES}, b"x" * MAX_PAYLOAD_BYTES),
    ],
)
async def test_a_corrected_payload_is_kept_as_given(shared: Shared, body: Any, corrected_payload: bytes | None) -> None:
    answer = await shared.client.post(f"{URL}/one/replay?wait=0", json=body)
    assert answer.status_code == 202, answer.text
    assert (
        await shared.rows.fetchval("SELECT corrected_payload FROM dead_letters WHERE id = 'one'") == corrected_payload
    )
    assert (
        await shared.rows.fetchval("SELECT payload FROM dead_letters WHERE id = 'one'") == dead_letter("one")["payload"]
    )


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"payload": 1, "payloadText": "x"}', b'{"payloadText": "x", "payloadBase64": ""}', b'{"pay": 1}'),
        *(
            b'{"payloadText": 1}',
            b'{"payloadBase64": "???"}',
            b'{"payloadBase64": "YQ="}',
            b'{"payloadBase64": "\xc3\xa9"}',
        ),
        *(b"[]", b'"x"', b"{", b"\xff", b'{"payload": NaN}', b'{"payload": 1e999}', b'{"payloadText": "\\ud800"}'),
        *(b'{"payload": "\\ud800"}', b'{"payload": {"\\ud800": 1}}'),
        b'{"payload": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"payloadText": "' + b"x" * (MAX_PAYLOAD_BYTES + 1) + b'"}',
        b'{"payload": "' + b"x" * MAX_PAYLOAD_BYTES + b'"}',
        b'{"payload": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: body[:30],
)
async def test_a_body_that_makes_no_sense_is_refused(shared: Shared, body: bytes) -> None:
    answer = await shared.client.post(
        f"{URL}/untouched/replay", content=body, headers={"content-type": "application/json"}
    )
    assert_problem(answer, answer.status_code)
    assert answer.status_code in {400, 422}
    assert await untouched(shared.rows)


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "inf", "x", ""])
async def test_a_wait_that_makes_no_sense_is_refused(shared: Shared, wait: str) -> None:
    for path in ("untouched/replay", "replay"):
        assert_problem(await shared.client.post(f"{URL}/{path}?wait={wait}", json={}), 422)
    assert await untouched(shared.rows)


async def test_an_unknown_letter_is_a_404(shared: Shared) -> None:
    assert_problem(await shared.client.post(f"{URL}/nobody/replay"), 404)
    assert_problem(await shared.client.post(f"{URL}/%00/replay"), 422)
    assert_problem(await shared.client.get(f"{URL}/untouched/replay"), 405)
    assert await untouched(shared.rows)


async def test_waiting_requests_hold_no_connection(
    database: DatabaseSettings, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_POOL_SIZE", "2")
    await insert(rows, [dead_letter(f"wait-{n}") for n in range(20)])
    async with api(database) as client:
        asked = [asyncio.create_task(client.post(f"{URL}/wait-{n}/replay?wait=30", timeout=WAIT)) for n in range(20)]
        assert await requested(rows, 20)
        for _ in range(20):
            assert (await client.get(f"{URL}?limit=1")).status_code == 200
        assert not any(each.done() for each in asked)
        await set_state(rows, [f"wait-{n}" for n in range(20)], DeadLetterState.STORED)
        assert {(await each).status_code for each in asked} == {200}


async def test_an_outage_while_waiting_is_waited_out(postgres: Postgres) -> None:
    await postgres.start()
    settings = settings_of(postgres)
    await migrate(settings)
    async with connection(settings) as rows:
        await insert(rows, [dead_letter("one")])
    async with api(settings) as client:
        asked = asyncio.create_task(client.post(f"{URL}/one/replay?wait=30", timeout=WAIT))
        async with connection(settings) as rows:
            assert await requested(rows, 1)
        await postgres.kill()
        assert_problem(await client.post(f"{URL}/one/replay"), 503)
        assert_problem(await client.get(URL), 503)
        await postgres.start()
        async with connection(settings) as rows:
            await set_state(rows, ["one"], DeadLetterState.STORED)
        answer = await asked
        assert (answer.status_code, answer.json()["state"]) == (200, "stored")
