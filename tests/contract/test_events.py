"""DR events: creating, listing, stopping, removing; the status follows the clock."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.stack.polling import wait_until
from tests.contract.conftest import ContractApi
from tests.support.rest import assert_problem

HOUR = timedelta(hours=1)
FUNNEL = (
    "targeted",
    "logged",
    "sent",
    "acknowledged",
    "refused",
    "expired",
    "unanswered",
    "lost",
    "shedding",
    "restored",
)


def event(start: timedelta = HOUR, length: timedelta = HOUR, **fields: Any) -> dict[str, Any]:
    begin = datetime.now(UTC) + start
    return {
        "startTime": begin.isoformat(),
        "endTime": (begin + length).isoformat(),
        "requestedReductionKw": 5.0,
        **fields,
    }


def z(text: str) -> str:
    return text.replace("+00:00", "Z")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("start", "given", "status"),
    [
        (HOUR, None, "scheduled"),
        (HOUR, "scheduled", "scheduled"),
        (-HOUR / 2, None, "active"),
        (-2 * HOUR, None, "completed"),
        (-2 * HOUR, "scheduled", "completed"),
    ],
)
async def test_an_event_is_created_and_read(
    world: ContractApi, start: timedelta, given: str | None, status: str, slash: str
) -> None:
    body = event(start, status=given)
    answer = await world.client.post(f"/api/events{slash}", json=body)
    assert answer.status_code == 201
    created = answer.json()
    assert re.fullmatch("evt-[0-9a-f]{8}", created["id"])
    assert answer.headers["location"] == f"/api/events/{created['id']}"
    assert created == {
        "id": created["id"],
        "status": status,
        "startTime": z(body["startTime"]),
        "endTime": z(body["endTime"]),
        "requestedReductionKw": 5.0,
        "actualReductionKw": 0.0,
        "venIds": None,
        "createdAt": created["createdAt"],
        "endedAt": z(body["endTime"]) if status == "completed" else None,
        "cancelledAt": None,
    }
    assert await world.get(f"/api/events/{created['id']}{slash}") == {
        **created,
        "currentReductionKw": 0.0,
        "vensResponding": 0,
        "avgResponseMs": 0,
        "responses": 0,
        "startedAt": None,
        "missed": False,
        "deliveredKwh": 0.0 if status == "completed" else None,
        "coveredShare": None,
        "funnel": dict.fromkeys(FUNNEL, 0),
        "responseMs": {"p50": None, "p95": None},
        "vens": [],
    }
    listed = await world.get(f"/api/events{slash}")
    assert created in listed
    starts = [each["startTime"] for each in listed]
    assert starts == sorted(starts, reverse=True)


@pytest.mark.parametrize(("start", "closed"), [(-2 * HOUR, True), (-HOUR / 2, False), (HOUR, False)])
async def test_a_past_event_is_completed_and_not_dispatched(
    world: ContractApi, start: timedelta, *, closed: bool
) -> None:
    created = await world.post("/api/events", event(start))
    (row,) = await world.rows("SELECT closed_at, missed FROM events WHERE event_id = $1", created["id"])
    assert (row["closed_at"] is not None, row["missed"]) == (closed, False)


async def test_status_active_starts_the_event_now(world: ContractApi) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    created = await world.post("/api/events", event(HOUR, status="active"))
    assert created["status"] == "active"
    assert before <= datetime.fromisoformat(created["startTime"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert_problem(await world.client.post("/api/events", json=event(-2 * HOUR, status="active")), 422)
    # As the start given does not count, it may be after the end.
    later = {**event(timedelta(minutes=10)), "startTime": (datetime.now(UTC) + 5 * HOUR).isoformat()}
    await world.post("/api/events", {**later, "status": "active"})


async def test_an_event_starts_and_ends_by_the_clock(world: ContractApi) -> None:
    created = await world.post("/api/events", event(timedelta(seconds=0.6), timedelta(seconds=0.8)))
    start, end = (datetime.fromisoformat(created[name]) for name in ("startTime", "endTime"))
    life = ["scheduled", "active", "completed"]

    def due() -> int:
        now = datetime.now(UTC)
        return (start <= now) + (end <= now)

    async def over() -> bool:
        before = due()
        status = (await world.get(f"/api/events/{created['id']}"))["status"]
        # On a busy machine looks are few: each sees what was due at some time between asking and being answered.
        assert status in life[before : due() + 1]
        return bool(status == "completed")

    assert await wait_until(over, 60)


async def test_addressed_vens_must_exist(world: ContractApi) -> None:
    await world.new_ven("named")
    await world.new_ven("named-2")
    created = await world.post("/api/events", event(venIds=["named", "named-2", "named"]))
    assert created["venIds"] == ["named", "named-2"]
    detail = await world.get(f"/api/events/{created['id']}")
    assert detail["vens"] == [
        {
            "venId": name,
            "venName": f"Home {name}",
            "shedKw": 0.0,
            "status": "targeted",
            "shareKw": None,
            "capabilityKw": None,
            "reason": None,
            "late": False,
            "deliveredKwh": None,
            "correlationId": None,
            "ackedAfterMs": None,
        }
        for name in ("named", "named-2")
    ]
    assert detail["funnel"] == {**dict.fromkeys(FUNNEL, 0), "targeted": 2}
    answer = await world.client.post("/api/events", json=event(venIds=["named", "who", "whom"]))
    assert "who, whom" in assert_problem(answer, 422)["detail"]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_active_event_is_stopped_once(world: ContractApi, slash: str) -> None:
    created = await world.post("/api/events", event(-HOUR / 2))
    path = f"/api/events/{created['id']}"
    answer = await world.client.post(f"{path}/stop{slash}")
    assert (answer.status_code, answer.json()) == (202, {"status": "stopping", "eventId": created["id"]})
    stopped = await world.get(path)
    assert stopped["status"] == "completed"
    assert datetime.fromisoformat(stopped["endedAt"]) < datetime.fromisoformat(stopped["endTime"])
    assert_problem(await world.client.post(f"{path}/stop{slash}"), 409)
    assert (await world.get(path))["endedAt"] == stopped["endedAt"]


async def test_stopping_a_scheduled_event_cancels_it(world: ContractApi) -> None:
    created = await world.post("/api/events", event())
    assert (await world.client.post(f"/api/events/{created['id']}/stop")).status_code == 202
    cancelled = await world.get(f"/api/events/{created['id']}")
    assert (cancelled["status"], cancelled["endedAt"]) == ("cancelled", None)
    assert cancelled["cancelledAt"].endswith("Z")
    assert_problem(await world.client.post(f"/api/events/{created['id']}/stop"), 409)
    over = await world.post("/api/events", event(-2 * HOUR))
    assert_problem(await world.client.post(f"/api/events/{over['id']}/stop"), 409)


async def test_concurrent_stops_stop_once(world: ContractApi) -> None:
    created = await world.post("/api/events", event(-HOUR / 2))
    answers = await asyncio.gather(*(world.client.post(f"/api/events/{created['id']}/stop") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("start", [HOUR, -HOUR / 2, -2 * HOUR])
async def test_a_deleted_event_is_a_404(world: ContractApi, start: timedelta, slash: str) -> None:
    created = await world.post("/api/events", event(start))
    path = f"/api/events/{created['id']}"
    answer = await world.client.delete(path + slash)
    assert (answer.status_code, answer.content) == (204, b"")
    for method, gone in (
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/stop"),
        *(("GET", f"{path}/{part}") for part in ("metrics", "acks", "circuits")),
    ):
        assert_problem(await world.client.request(method, gone), 404)
    listed = [*await world.get("/api/events"), *await world.get("/api/events/history")]
    assert created["id"] not in [each["id"] for each in listed]
    (row,) = await world.rows("SELECT * FROM events WHERE event_id = $1", created["id"])
    # What was active ends with it: its VENs are to be restored.
    active = start == -HOUR / 2
    assert (row["ended_at"] == row["deleted_at"]) is active


async def test_the_current_event_is_the_active_one_that_began_last(world: ContractApi) -> None:
    for each in await world.get("/api/events", status="active", limit=1000):
        await world.client.delete(f"/api/events/{each['id']}")
    for slash in ("", "/"):
        answer = await world.client.get(f"/api/events/current{slash}")
        assert (answer.status_code, answer.json()) == (200, None)
    await world.post("/api/events", event())
    await world.post("/api/events", event(-HOUR / 2))
    newer = await world.post("/api/events", event(-HOUR / 3))
    for slash in ("", "/"):
        assert await world.get(f"/api/events/current{slash}") == {
            **newer,
            "currentReductionKw": 0.0,
            "vensResponding": 0,
            "avgResponseMs": 0,
            "responses": 0,
        }


@pytest.mark.parametrize("slash", ["", "/"])
async def test_history_lists_overlapping_events(world: ContractApi, slash: str) -> None:
    year = datetime(2019 + len(slash), 6, 1, tzinfo=UTC)
    ids = []
    for number in range(3):
        begin = year + timedelta(days=number)
        body = event(startTime=begin.isoformat(), endTime=(begin + HOUR).isoformat())
        ids.append((await world.post("/api/events", body))["id"])

    async def found(start: timedelta | None, end: timedelta | None) -> list[str]:
        bounds = {name: (year + at).isoformat() for name, at in (("start", start), ("end", end)) if at is not None}
        listed = await world.get(f"/api/events/history{slash}", **bounds)
        return [each["id"] for each in listed if each["id"] in ids]

    day = timedelta(days=1)
    assert await found(None, None) == ids[::-1]
    assert await found(day, 2 * day) == [ids[1]]
    assert await found(day + HOUR / 2, day + 0.75 * HOUR) == [ids[1]]
    assert await found(HOUR, day) == []  # half-open on both sides
    assert await found(None, day) == [ids[0]]
    assert await found(2 * day, None) == [ids[2]]
    bad = {"start": (year + day).isoformat(), "end": year.isoformat()}
    assert_problem(await world.client.get("/api/events/history", params=bad), 422)


async def test_events_are_paged_and_filtered_by_status(world: ContractApi) -> None:
    everything = [each["id"] for each in await world.get("/api/events", limit=1000)]
    path, seen = "/api/events?limit=3", []
    while path:
        answer = await world.client.get(path)
        seen += [each["id"] for each in answer.json()]
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""
        if len(seen) == 3:  # a cursor that is deleted still shows the place
            await world.client.delete(f"/api/events/{seen[-1]}")
    assert seen == everything
    for status in ("scheduled", "active", "completed", "cancelled"):
        assert {each["status"] for each in await world.get("/api/events", status=status)} <= {status}
    assert await world.get("/api/events", cursor="nothing such") == []
    for query in ({"status": "x"}, {"limit": 0}, {"limit": 1001}, {"cursor": "\0"}):
        assert_problem(await world.client.get("/api/events", params=query), 422)


@pytest.mark.parametrize(
    "path", ["/api/events/nothing", *(f"/api/events/nothing/{part}" for part in ("metrics", "acks", "circuits"))]
)
async def test_an_unknown_id_is_a_404(world: ContractApi, path: str) -> None:
    assert_problem(await world.client.get(path), 404)
    assert_problem(await world.client.get(path + "/"), 404)


BAD_POWERS: list[Any] = [0, -1, "5", True, None, 1e10, 10**400, [], {}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"endTime": "2025-01-01T00:00:00Z"},
        {"endTime": None},
        {"startTime": "soon"},
        {"startTime": "0001-01-01T00:00:00Z"},
        {"endTime": "9999-12-31T23:59:59Z"},
        {"endTime": "9999-12-31T23:59:59-14:00"},
        {"startTime": 1e300},
        {"startTime": True},
        {"startTime": []},
        {"endTime": 10**30},
        *({"requestedReductionKw": bad} for bad in BAD_POWERS),
        {"status": "completed"},
        {"status": 1},
        {"venIds": []},
        {"venIds": "ven"},
        {"venIds": [1]},
        {"venIds": [""]},
        {"venIds": ["a\0b"]},
        {"venIds": ["x" * 129]},
        {"venIds": [None]},
    ],
    ids=lambda wrong: str(wrong)[:50],
)
async def test_an_impossible_event_is_a_422(world: ContractApi, wrong: dict[str, Any]) -> None:
    answer = await world.client.post("/api/events", json={**event(), **wrong})
    assert assert_problem(answer, 422)["errors"]
    same = event(length=timedelta(0))
    assert_problem(await world.client.post("/api/events", json=same), 422)
