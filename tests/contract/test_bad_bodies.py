"""Bodies that are not what they should be: a clear 4xx, whatever they are."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import ContractApi
from tests.contract.test_events import event
from tests.support.readings import HVAC, reading
from tests.support.rest import assert_problem

PATHS = [
    ("POST", "/api/vens"),
    ("PATCH", "/api/vens/home"),
    ("PATCH", "/api/vens/home/loads/hvac"),
    ("POST", "/api/vens/home/loads/hvac/commands/shed"),
    ("POST", "/api/vens/home/send-event"),
    ("POST", "/api/vens/home/commands"),
    ("POST", "/api/events"),
]
JSON = {"content-type": "application/json"}


@pytest_asyncio.fixture(autouse=True)
async def home(world: ContractApi) -> None:
    now = datetime.now(UTC)
    await world.store.readings.store([reading("home", timestamp=now, received_at=now, loads=(HVAC,))])


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"NaN",
        b"\xff\xfe",
        b'{"a": \x00}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        "ä".encode("utf-16"),
    ],
    ids=lambda content: str(content[:12]),
)
async def test_a_body_that_is_no_json_object_is_a_422(
    world: ContractApi, method: str, path: str, content: bytes
) -> None:
    answer = await world.client.request(method, path, content=content, headers=JSON)
    assert 400 <= answer.status_code < 500
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "nonsense"]
)
async def test_other_content_types_are_refused(world: ContractApi, method: str, path: str, content_type: str) -> None:
    answer = await world.client.request(method, path, content=b'{"op":"ping"}', headers={"content-type": content_type})
    assert_problem(answer, 415)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.5"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/events", '{"startTime":"2030-01-01","endTime":"2030-01-02","requestedReductionKw":%s}'),
        ("POST", "/api/vens", '{"name":"x","location":{"lat":%s,"lon":-181}}'),
        ("PATCH", "/api/vens/home/loads/hvac", '{"capacityKw":%s}'),
        ("POST", "/api/vens/home/loads/hvac/commands/shed", '{"amountKw":%s}'),
        ("POST", "/api/vens/home/send-event", '{"shedKw":%s,"durationS":60}'),
        ("POST", "/api/vens/home/send-event", '{"shedKw":1,"durationS":%s}'),
        ("POST", "/api/vens/home/commands", '{"op":"shedPanel","data":{"requestedReductionKw":%s,"durationS":6}}'),
        ("POST", "/api/vens/home/commands", '{"op":"setConfig","data":{"target_power_kw":%s}}'),
    ],
)
async def test_nan_and_infinity_are_refused(world: ContractApi, method: str, path: str, body: str, number: str) -> None:
    answer = await world.client.request(method, path, content=body % number, headers=JSON)
    assert assert_problem(answer, 422)["errors"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_nan_in_free_data_is_refused(world: ContractApi, number: str) -> None:
    body = '{"op":"custom","data":{"a":{"b":[' + number + "]}}}"
    assert_problem(await world.client.post("/api/vens/home/commands", content=body, headers=JSON), 422)


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "\\udfff x"])
async def test_invalid_unicode_is_refused(world: ContractApi, text: str) -> None:
    for path, body in (
        ("/api/vens", '{"name":"%s","location":{"lat":0,"lon":0}}'),
        ("/api/vens", '{"name":"x","location":{"lat":0,"lon":0},"registrationId":"%s"}'),
        ("/api/vens", '{"name":"x","location":{"lat":0,"lon":0},"status":"%s"}'),
        ("/api/events", '{"startTime":"2030-01-01","endTime":"2030-01-02","requestedReductionKw":1,"venIds":["%s"]}'),
        ("/api/vens/home/send-event", '{"shedKw":1,"durationS":60,"eventId":"%s"}'),
        ("/api/vens/home/commands", '{"op":"custom","data":{"a":"%s"}}'),
        ("/api/vens/home/commands", '{"op":"custom","data":{"%s":1}}'),
        ("/api/vens/home/commands", '{"op":"shedLoad","data":{"loadId":"%s","reduceKw":1}}'),
        ("/api/vens/home/commands", '{"op":"%s"}'),
    ):
        assert_problem(await world.client.post(path, content=body % text, headers=JSON), 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [*PATHS, ("POST", "/api/events/evt-1/stop"), ("DELETE", "/api/vens/home"), ("GET", "/api/vens"), ("POST", "/")],
)
async def test_a_large_body_is_refused(world: ContractApi, method: str, path: str) -> None:
    content = b'{"op":"ping","data":{"a":"' + b"x" * 10_000_000 + b'"}}'
    answer = await world.client.request(method, path, content=content, headers=JSON)
    assert_problem(answer, 413)
    assert (await world.client.get("/api/vens/home")).status_code == 200


async def test_a_large_chunked_body_is_refused(world: ContractApi) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"op":"ping","data":{"a":"'
        for _ in range(1000):
            sent += 10_000
            yield b"x" * 10_000

    answer = await world.client.post("/api/vens/home/commands", content=pieces(), headers=JSON)
    assert_problem(answer, 413)


async def test_a_body_of_the_largest_size_is_accepted(world: ContractApi) -> None:
    content = b'{"enabled": true}'.ljust(1_048_576)
    answer = await world.client.patch("/api/vens/home/loads/hvac", content=content, headers=JSON)
    assert answer.status_code == 200
    answer = await world.client.patch("/api/vens/home/loads/hvac", content=content + b" ", headers=JSON)
    assert_problem(answer, 413)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1e308, 2**63, "2030-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["name", "location", "lat", "status", "registrationId", "enabled", "capacityKw", "priority"]
) | (st.sampled_from(["amountKw", "durationS", "eventId", "shedKw", "op", "data", "startTime", "endTime", "venIds"]))


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(NAMES, values, max_size=6)


@pytest.fixture(scope="module")
def seeds() -> dict[str, Any]:
    return {
        "/api/vens": {"name": "x", "location": {"lat": 0, "lon": 0}},
        "/api/vens/home": {"name": "x"},
        "/api/vens/home/loads/hvac": {"enabled": True},
        "/api/vens/home/loads/hvac/commands/shed": {"amountKw": 1},
        "/api/vens/home/send-event": {"shedKw": 1, "durationS": 60},
        "/api/vens/home/commands": {"op": "shedPanel", "data": {"shedKw": 1, "durationS": 60}},
        "/api/events": event(),
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(PATHS), changed=_objects(ANYTHING | _objects(ANYTHING)), begin=st.booleans())
async def test_any_json_body_gets_a_documented_status(
    world: ContractApi, seeds: dict[str, Any], route: tuple[str, str], changed: dict[str, Any], *, begin: bool
) -> None:
    method, path = route
    body = {**seeds[path], **changed} if begin else changed
    words = json.dumps(body)  # with NaN and infinity, as some clients write them
    answer = await world.client.request(method, path, content=words, headers=JSON)
    assert answer.status_code in {200, 201, 202, 409, 422}, (words, answer.text)
