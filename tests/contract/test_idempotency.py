"""Idempotency-Key: what is asked for twice is created once, also at once."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.contract.conftest import ContractApi
from tests.contract.test_events import event
from tests.support.readings import HVAC, reading
from tests.support.rest import assert_problem

VEN = {"name": "x", "location": {"lat": 1, "lon": 2}}
BODIES: list[tuple[str, Any, Any]] = [
    ("/api/events", event(), {**event(), "requestedReductionKw": 6}),
    ("/api/vens", VEN, {**VEN, "name": "y"}),
    ("/api/vens/home/send-event", {"shedKw": 1, "durationS": 60}, {"shedKw": 1, "durationS": 61}),
    ("/api/vens/home/commands", {"op": "ping"}, {"op": "get", "data": {"what": "status"}}),
    ("/api/vens/home/loads/hvac/commands/shed", {"amountKw": 1}, {"amountKw": 2}),
]


@pytest.fixture(autouse=True)
async def home(world: ContractApi) -> None:
    now = datetime.now(UTC)
    await world.store.readings.store([reading("home", timestamp=now, received_at=now, loads=(HVAC,))])


async def created(world: ContractApi) -> int:
    (row,) = await world.rows(
        "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM vens) + (SELECT count(*) FROM commands) AS n"
    )
    return int(row["n"])


async def send(world: ContractApi, path: str, body: Any, key: str) -> httpx.Response:
    return await world.client.post(path, json=body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize(("path", "body", "other"), BODIES)
async def test_the_same_key_and_body_get_the_same_answer(world: ContractApi, path: str, body: Any, other: Any) -> None:
    before = await created(world)
    first = await send(world, path, body, f"same {path}")
    assert first.status_code in {201, 202}
    # In another order, with other spaces, and with a slash, it is the same body and the same path.
    words = json.dumps(dict(reversed(body.items())), indent=3)
    headers = {"Idempotency-Key": f"same {path}", "content-type": "application/json"}
    for again in (
        await send(world, path, body, f"same {path}"),
        await world.client.post(path + "/", content=words, headers=headers),
    ):
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers.get("location") == first.headers.get("location")
    assert await created(world) == before + 1
    assert_problem(await send(world, path, other, f"same {path}"), 422)
    assert await created(world) == before + 1
    # Other keys, and none, create anew.
    await send(world, path, body, f"new {path}")
    await world.client.post(path, json=body)
    assert await created(world) == before + 3


@pytest.mark.parametrize(("path", "body", "other"), BODIES)
async def test_concurrent_requests_create_once(world: ContractApi, path: str, body: Any, other: Any) -> None:
    before = await created(world)
    bodies = [body] * 6 + [other] * 2
    answers = await asyncio.gather(*(send(world, path, each, f"once {path}") for each in bodies))
    assert await created(world) == before + 1
    good = [answer for answer in answers if answer.status_code != 422]
    assert len(good) in {2, 6}
    assert len({(answer.status_code, answer.content) for answer in good}) == 1


async def test_an_error_is_not_stored_under_the_key(world: ContractApi) -> None:
    body = event(venIds=["late"])
    assert_problem(await send(world, "/api/events", body, "mended"), 422)
    await world.new_ven("late")
    first = await send(world, "/api/events", body, "mended")
    assert first.status_code == 201
    # What was kept is answered though it could not be created now.
    ven = {**VEN, "registrationId": "kept"}
    answers = [await send(world, "/api/vens", ven, "kept") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert_problem(await world.client.post("/api/vens", json=ven), 409)


async def test_keys_are_kept_for_a_day(world: ContractApi) -> None:
    first = await send(world, "/api/vens", VEN, "old")
    await send(world, "/api/vens", VEN, "older")
    await world.rows("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key LIKE 'old%'")
    second = await send(world, "/api/vens", {**VEN, "name": "new"}, "old")
    assert second.status_code == 201
    assert second.content != first.content
    assert await world.rows("SELECT FROM idempotency_keys WHERE key = 'older'") == []


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
async def test_keys_are_plain_and_short(world: ContractApi, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    assert_problem(await world.client.post("/api/vens", json=VEN, headers=headers), 422)
