"""VENs over REST, from a real database over a real socket."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from schemas.records.telemetry import MAX_MAGNITUDE, FaultReport, Load
from schemas.settings.blocks import DatabaseSettings
from tests.support.readings import FRIDGE, HVAC, Stores, reading, stores
from tests.support.rest import api, assert_problem
from tests.support.servers import Databases, connection


@pytest.fixture
def now() -> datetime:
    """Of the test, not of its module: others may have run for minutes in between."""
    return datetime.now(UTC)


class Served:
    """One database for this file's tests, and the API before it."""

    def __init__(self, client: httpx.AsyncClient, store: Stores, database: DatabaseSettings) -> None:
        self.client = client
        self.store = store
        self.database = database

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest_asyncio.fixture(scope="module")
async def served(databases: Databases) -> AsyncIterator[Served]:
    settings = await databases.migrated()
    async with stores(settings) as store, api(settings) as client:
        yield Served(client, store, settings)


async def test_a_ven_shows_its_latest_values(served: Served, now: datetime) -> None:
    odd = Load("odd", None, None, None, None, None)
    measured = now - timedelta(seconds=5)
    await served.store.readings.store(
        [reading("shape", timestamp=measured, received_at=now, event_id="evt-1", loads=(HVAC, FRIDGE, odd))]
    )
    found = await served.get("/api/vens/shape")
    created = datetime.fromisoformat(found.pop("createdAt"))
    assert timedelta(0) < datetime.now(UTC) - created < timedelta(minutes=2)
    assert found == {
        "id": "shape",
        "name": "Auto-registered VEN shape",
        "status": "online",
        "location": {"lat": 0.0, "lon": 0.0},
        "metrics": {"currentPowerKw": 1.0, "shedAvailabilityKw": 1.5, "activeEventId": "evt-1", "shedLoadIds": []},
        "lastSeen": now.isoformat().replace("+00:00", "Z"),
        "loads": [
            _load("hvac", "hvac", "HVAC", 7.2, 1.5, 2.0, priority=5),
            _load("fridge", "other", "fridge", 1.0, 0.0, 0.25, enabled=False),
            _load("odd", "other", "odd", 0.0, 0.0, 0.0),
        ],
        "measuredAt": measured.isoformat().replace("+00:00", "Z"),
        "clockSkewSeconds": 0.0,
        "reportedStatus": None,
        "reportIntervalSeconds": None,
        "maxPowerKw": None,
    }
    assert found in [{name: ven[name] for name in found} for ven in await served.get("/api/vens")]


def _load(
    name: str,
    kind: str,
    title: str,
    capacity: float,
    shed: float,
    power: float,
    *,
    enabled: bool = True,
    priority: int = 0,
) -> dict[str, Any]:
    return {
        "id": name,
        "type": kind,
        "name": title,
        "capacityKw": capacity,
        "shedCapabilityKw": shed,
        "currentPowerKw": power,
        "enabled": enabled,
        "priority": priority,
        "pending": False,
    }


async def test_a_ven_that_says_nothing_of_loads_has_an_empty_list(served: Served, now: datetime) -> None:
    await served.store.readings.store([reading("bare", used_power_kw=None)])
    await served.store.faults.store([FaultReport("faulty", now, now, "sensor lost")])
    for ven_id in ("bare", "faulty"):
        found = await served.get(f"/api/vens/{ven_id}")
        assert found["loads"] == []
        expected: dict[str, Any] = {
            "currentPowerKw": 0.0,
            "shedAvailabilityKw": 0.0,
            "activeEventId": None,
            "shedLoadIds": [],
        }
        assert found["metrics"] == expected


async def test_the_status_follows_the_rules_of_the_registry(served: Served, now: datetime) -> None:
    old = now - timedelta(minutes=10)
    for name, received in (("on", now), ("off", old), ("dis", now), ("given", old), ("heard", now)):
        await served.store.readings.store([reading(f"status-{name}", timestamp=received, received_at=received)])
    # A late sample that arrives now makes a VEN online: it was heard.
    await served.store.readings.store([reading("status-late", timestamp=old, received_at=now)])
    await served.store.faults.store([FaultReport("status-fault", now, now, "x")])
    async with connection(served.database) as rows:
        await rows.executemany(
            "INSERT INTO vens (ven_id, name, status, status_set_at) VALUES ($1, 'x', $2, $3)"
            " ON CONFLICT (ven_id) DO UPDATE SET status = excluded.status, status_set_at = excluded.status_set_at",
            [
                ("status-dis", "disabled", old),
                ("status-given", "maintenance", old + timedelta(minutes=5)),
                ("status-heard", "maintenance", old),
                ("status-silent", "planned", old),
            ],
        )
    found = {ven["id"]: ven for ven in await served.get("/api/vens")}
    assert {
        name.removeprefix("status-"): ven["status"] for name, ven in found.items() if name.startswith("status-")
    } == {
        "on": "online",
        "off": "offline",
        "late": "online",
        "fault": "offline",
        "dis": "disabled",
        "given": "maintenance",
        "heard": "online",
        "silent": "planned",
    }
    assert found["status-silent"]["lastSeen"] is None


async def test_pages_of_vens_are_ordered_and_complete(served: Served) -> None:
    ids = [f"page {number} é&=?" for number in range(7)]
    await served.store.readings.store([reading(ven_id) for ven_id in ids])
    everything = [ven["id"] for ven in await served.get("/api/vens")]
    assert everything == sorted(everything)
    assert set(ids) <= set(everything)
    path, paged = "/api/vens?limit=3", []
    while path:
        answer = await served.client.get(path)
        assert answer.status_code == 200
        paged.append([ven["id"] for ven in answer.json()])
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""
    assert [ven_id for page in paged for ven_id in page] == everything
    assert {len(page) for page in paged[:-1]} == {3}
    assert len(paged[-1]) in {1, 2, 3}
    exactly = await served.client.get("/api/vens", params={"limit": len(everything)})
    assert "link" not in exactly.headers


@pytest.mark.parametrize(
    "ven_id", ["a b", "vén-ü", "家", "50%", "a?b", "a&b=c", "%2e", "..a", "a;b", "'; --", "a\\b", "x" * 128]
)
async def test_odd_ids_are_served(served: Served, now: datetime, ven_id: str) -> None:
    await served.store.readings.store([reading(ven_id, timestamp=now, received_at=now)])
    path = f"/api/vens/{quote(ven_id, safe='')}"
    assert (await served.get(path))["id"] == ven_id
    assert (await served.get(path + "/"))["id"] == ven_id
    assert (await served.get(path + "/telemetry"))["totalCount"] == 1


@pytest.mark.parametrize("path", ["", "/telemetry"])
@pytest.mark.parametrize("ven_id", ["a+b", "a%23b", "a%00b", "a%0Ab", "%7F", "x" * 129, "%0A"])
async def test_ids_that_cannot_be_are_refused(served: Served, ven_id: str, path: str) -> None:
    answer = await served.client.get(f"/api/vens/{ven_id}{path}")
    assert assert_problem(answer, 422)["errors"][0]["location"] == "path.ven_id"


@pytest.mark.parametrize(
    "path", ["/api/vens/nobody", "/api/vens/nobody/telemetry", "/api/nothing", "/nothing", "/api/vens/a%2Fb"]
)
async def test_what_is_not_there_is_a_404(served: Served, path: str) -> None:
    assert_problem(await served.client.get(path), 404)
    assert_problem(await served.client.delete("/api/vens"), 405)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=", "cursor=%00", "cursor=" + "x" * 257, "limit=1e3"]
)
async def test_bad_pages_are_refused(served: Served, query: str) -> None:
    assert assert_problem(await served.client.get(f"/api/vens?{query}"), 422)["errors"]


@pytest.mark.parametrize("path", ["/api/vens", "/health", "/health/live", "/health/db-check", "/api/vens/slash"])
async def test_a_trailing_slash_changes_nothing(served: Served, path: str) -> None:
    await served.store.readings.store([reading("slash")])
    plain, slashed = await served.client.get(path), await served.client.get(path + "/")
    assert plain.status_code == slashed.status_code == 200
    assert plain.json() == slashed.json()


async def test_every_time_ends_in_z(served: Served, now: datetime) -> None:
    await served.store.readings.store([reading("times", timestamp=now)])
    for found in (await served.get("/api/vens/times"), await served.get("/api/vens/times/telemetry")):
        moments = [value for name, value in _leaves(found) if name in {"createdAt", "lastSeen", "timestamp"}]
        assert moments
        assert all(moment.endswith("Z") and datetime.fromisoformat(moment) for moment in moments)


def _leaves(found: Any) -> list[tuple[str, Any]]:
    if isinstance(found, list):
        return [leaf for each in found for leaf in _leaves(each)]
    if isinstance(found, dict):
        return [leaf for name, value in found.items() for leaf in (_leaves(value) or [(name, value)])]
    return []


async def test_absurd_powers_of_one_ven_do_not_spoil_the_list(databases: Databases) -> None:
    settings = await databases.migrated()
    absurd = tuple(Load(name, shed_capability_kw=MAX_MAGNITUDE) for name in ("a", "b"))
    async with stores(settings) as store, api(settings) as client:
        await store.readings.store([reading("absurd", loads=absurd)])
        assert (await client.get("/api/vens")).status_code == 200


async def test_a_load_in_the_largest_numbers_is_shown(served: Served) -> None:
    huge = Load("huge", capacity_kw=1e9, current_power_kw=-1e9, priority=2**31 - 1, extra={"x": 10**300})
    await served.store.readings.store([reading("huge", loads=(huge,))])
    assert (await served.get("/api/vens/huge"))["loads"][0]["capacityKw"] == 1e9
