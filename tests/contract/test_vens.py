"""VENs: what the contract says of creating, reading, changing, removing and summarising them."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from api.queries.ven_erasure import HISTORY, KEPT, LATEST, PENDING_WORK, RETAINING, fetch_pending
from api.services import ven_erasure
from gateway.stack.polling import wait_until
from runtime.database import connect_options
from schemas.parsing.acks import Curtailment
from schemas.records.telemetry import FaultReport, LoadSnapshot
from schemas.tables import metadata
from streams.sink.telemetry_store import snapshot_store
from tests.contract.conftest import ContractApi
from tests.support.readings import FRIDGE, HVAC, NOON, reading
from tests.support.rest import assert_problem

PLACE = {"lat": 37.42, "lon": -122.08}


def moment(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_ven_is_created_and_read(world: ContractApi, slash: str) -> None:
    ven_id = f"new{len(slash)}"
    body = {"name": "Home", "location": PLACE, "registrationId": ven_id}
    answer = await world.client.post(f"/api/vens{slash}", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/vens/{ven_id}"
    ven = answer.json()
    created = moment(ven["createdAt"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert ven == {
        "id": ven_id,
        "name": "Home",
        "status": "offline",
        "location": PLACE,
        "metrics": {"currentPowerKw": 0.0, "shedAvailabilityKw": 0.0, "activeEventId": None, "shedLoadIds": []},
        "createdAt": ven["createdAt"],
        "lastSeen": None,
        "loads": [],
        "measuredAt": None,
        "clockSkewSeconds": None,
        "reportedStatus": None,
        "reportIntervalSeconds": None,
        "maxPowerKw": None,
    }
    assert await world.get(f"/api/vens/{ven_id}{slash}") == ven
    assert_problem(await world.client.post(f"/api/vens{slash}", json=body), 409)


async def test_without_a_registration_id_one_is_made_up(world: ContractApi) -> None:
    for body in ({}, {"registrationId": None}):
        ven = await world.post("/api/vens", {"name": "x", "location": PLACE, **body})
        assert re.fullmatch("ven-[0-9a-f]{8}", ven["id"])


@pytest.mark.parametrize("ven_id", ["a b", "vén", "50%", "a?b", "x" * 128, "...", "a.b"])
async def test_the_location_header_leads_to_the_ven(world: ContractApi, ven_id: str) -> None:
    body = {"name": "x", "location": PLACE, "registrationId": ven_id}
    answer = await world.client.post("/api/vens", json=body)
    assert (await world.get(answer.headers["location"]))["id"] == ven_id


async def test_a_status_that_was_given_stays_until_the_ven_is_heard(world: ContractApi) -> None:
    assert (await world.new_ven("planned", status="commissioning"))["status"] == "commissioning"
    now = datetime.now(UTC)
    await world.store.readings.store([reading("planned", timestamp=now, received_at=now)])
    heard = await world.get("/api/vens/planned")
    assert (heard["status"], heard["name"]) == ("online", "Home planned")
    patched = await world.client.patch("/api/vens/planned", json={"status": "offline"})
    assert patched.json()["status"] == "offline"
    now = datetime.now(UTC)
    await world.store.readings.store([reading("planned", timestamp=now, received_at=now)])
    assert (await world.get("/api/vens/planned"))["status"] == "online"


async def test_disabled_stays_until_patched(world: ContractApi) -> None:
    await world.new_ven("dis", status="disabled")
    now = datetime.now(UTC)
    await world.store.readings.store([reading("dis", timestamp=now, received_at=now)])
    assert (await world.get("/api/vens/dis"))["status"] == "disabled"
    await world.client.patch("/api/vens/dis", json={"status": "online"})
    now = datetime.now(UTC)
    await world.store.readings.store([reading("dis", timestamp=now, received_at=now)])
    assert (await world.get("/api/vens/dis"))["status"] == "online"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": "Other"}, {"name": "Other"}),
        ({"location": {"lat": -90, "lon": 180}}, {"location": {"lat": -90.0, "lon": 180.0}}),
        ({"status": "Maintenance"}, {"status": "Maintenance"}),
        ({"status": " Disabled"}, {"status": "disabled"}),
        ({"name": None, "status": None}, {}),
        ({"reportIntervalSeconds": 900}, {"reportIntervalSeconds": 900.0}),
        ({"maxPowerKw": 5000}, {"maxPowerKw": 5000.0}),
        ({}, {}),
    ],
)
async def test_any_part_of_a_ven_can_be_patched(
    world: ContractApi, change: dict[str, Any], shown: dict[str, Any], slash: str
) -> None:
    await world.client.delete("/api/vens/patched")
    before = await world.new_ven("patched")
    answer = await world.client.patch(f"/api/vens/patched{slash}", json=change)
    assert answer.status_code == 200
    assert answer.json() == {**before, **shown}
    assert await world.get("/api/vens/patched") == answer.json()


async def test_only_an_explicit_null_clears_the_report_interval(world: ContractApi) -> None:
    assert (await world.new_ven("meter", reportIntervalSeconds=900))["reportIntervalSeconds"] == 900
    renamed = await world.client.patch("/api/vens/meter", json={"name": "Meter"})
    assert renamed.json()["reportIntervalSeconds"] == 900
    cleared = await world.client.patch("/api/vens/meter", json={"reportIntervalSeconds": None})
    assert cleared.json()["reportIntervalSeconds"] is None


async def test_only_an_explicit_null_clears_the_power_limit(world: ContractApi) -> None:
    assert (await world.new_ven("mall", maxPowerKw=5000))["maxPowerKw"] == 5000
    renamed = await world.client.patch("/api/vens/mall", json={"name": "Mall", "reportIntervalSeconds": None})
    assert renamed.json()["maxPowerKw"] == 5000
    cleared = await world.client.patch("/api/vens/mall", json={"maxPowerKw": None})
    assert cleared.json()["maxPowerKw"] is None


@pytest.mark.parametrize("limit", [0, -1, 1e10, True, "900"])
async def test_impossible_power_limit_is_a_422(world: ContractApi, limit: object) -> None:
    body = {"name": "x", "location": PLACE, "maxPowerKw": limit}
    assert_problem(await world.client.post("/api/vens", json=body), 422)


@pytest.mark.parametrize("seconds", [0, -1, 86_401, True, "900"])
async def test_an_impossible_report_interval_is_a_422(world: ContractApi, seconds: object) -> None:
    ven = await world.post("/api/vens", {"name": "x", "location": PLACE})
    body = {"reportIntervalSeconds": seconds}
    assert_problem(await world.client.patch(f"/api/vens/{ven['id']}", json=body), 422)
    assert_problem(await world.client.post("/api/vens", json={"name": "x", "location": PLACE, **body}), 422)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_ven_that_is_not_there_is_a_404(world: ContractApi, method: str) -> None:
    body = {"name": "x"} if method == "PATCH" else None
    assert_problem(await world.client.request(method, "/api/vens/nobody", json=body), 404)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_deleted_ven_takes_its_history_along(world: ContractApi, now: datetime, slash: str) -> None:
    def moments(ven_id: str) -> list[Any]:
        ages = (timedelta(days=3), timedelta(hours=30), timedelta(0), -timedelta(minutes=4))
        return [reading(ven_id, timestamp=now - age, received_at=now, loads=(HVAC, FRIDGE)) for age in ages]

    await world.store.readings.store([*moments("gone"), *moments("stays")])
    await world.store.faults.store([FaultReport(ven_id, now, now, "x") for ven_id in ("gone", "stays")])
    for ven_id in ("gone", "stays"):
        await world.answer(ven_id, status="accepted", event_id="evt-1")
        await world.post(f"/api/vens/{ven_id}/commands", {"op": "ping"}, 202)
    answer = await world.client.delete(f"/api/vens/gone{slash}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(await world.client.get("/api/vens/gone"), 404)
    for table in (
        "vens",
        "ven_status",
        "telemetry_readings",
        "telemetry_loads",
        "ven_faults",
        "ven_acks",
        "commands",
    ):
        left = {row["ven_id"] for row in await world.rows(f"SELECT ven_id FROM {table}")}  # noqa: S608
        assert "gone" not in left, table
        assert "stays" in left, table
    assert await world.rows("SELECT FROM ven_removals") == []
    later = datetime.now(UTC)
    await world.store.readings.store([reading("gone", timestamp=later, received_at=later)])
    assert (await world.get("/api/vens/gone"))["name"] == "Auto-registered VEN gone"
    assert (await world.get("/api/vens/gone/telemetry"))["totalCount"] == 1


async def test_what_is_under_way_for_an_event_stays_until_the_event_is_closed(
    world: ContractApi, now: datetime
) -> None:
    """Or a VEN that is deleted, and registers itself again, would be told twice."""
    hour = timedelta(hours=1)
    await world.new_ven("engaged")
    for event_id, closed_at in (("evt-open", None), ("evt-closed", now)):
        await world.rows(
            "INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, closed_at) "
            "VALUES ($1, $2, $3, 1, $4)",
            event_id,
            now - hour,
            now + hour,
            closed_at,
        )
        await world.rows("INSERT INTO event_vens (event_id, ven_id, reason) VALUES ($1, 'engaged', 'equal')", event_id)
        await command_of(world, f"told-{event_id}", event_id, "event")
        await command_of(world, f"own-{event_id}", event_id, None)

    async def left() -> set[str]:
        told = await world.rows("SELECT correlation_id AS name FROM commands WHERE ven_id = 'engaged'")
        part = await world.rows("SELECT event_id AS name FROM event_vens WHERE ven_id = 'engaged'")
        return {row["name"] for row in (*told, *part)}

    assert (await world.client.delete("/api/vens/engaged")).status_code == 204
    assert await left() == {"told-evt-open", "evt-open"}
    # It is heard again, and shows nothing of its first life but that.
    later = datetime.now(UTC)
    await world.store.readings.store([reading("engaged", timestamp=later, received_at=later)])
    await world.post("/api/vens/engaged/commands", {"op": "ping"}, 202)
    async with asyncpg.create_pool(**connect_options(world.database, "test"), min_size=1, max_size=1) as pool:
        (removal,) = await fetch_pending(pool)
        await ven_erasure.erase(pool, *removal)
        assert {"told-evt-open", "evt-open"} <= await left()
        # The end of the event: its restore is not yet in the log.
        await command_of(world, "restore", "evt-open", "restore", logged_at=None)
        await world.rows("UPDATE events SET closed_at = now() WHERE event_id = 'evt-open'")
        await ven_erasure.erase(pool, *removal)
        assert {"restore"} < await left()
        await world.rows("UPDATE commands SET logged_at = now() WHERE correlation_id = 'restore'")
        await ven_erasure.erase(pool, *removal)
        # The restore was for the VEN as it is now.
        assert {name.split("-")[0] for name in await left()} == {"restore", "ping"}
        assert await fetch_pending(pool) == []


async def command_of(
    world: ContractApi, correlation_id: str, event_id: str, phase: str | None, logged_at: datetime | None = NOON
) -> None:
    await world.rows(
        "INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, phase, logged_at) "
        "VALUES ($1, 'engaged', 'event', $2, '{}', $3, $4)",
        correlation_id,
        event_id,
        phase,
        logged_at,
    )


async def test_circuits_are_shed_while_the_ven_reports_the_event_that_it_accepted(
    world: ContractApi, now: datetime
) -> None:
    def circuit(name: str, kw: float) -> Curtailment:
        return Curtailment(
            id=name, name=name, breaker_amps=None, original_kw=None, curtailed_kw=kw, final_kw=None, critical=False
        )

    async def shown(event_id: str | None, seconds: int) -> list[str]:
        at = now + timedelta(seconds=seconds)
        await world.store.readings.store(
            [reading("sheds", timestamp=at, received_at=now, event_id=event_id, shed_power_kw=0.0)]
        )
        (listed,) = await world.get("/api/vens", q="sheds")
        one = await world.get("/api/vens/sheds")
        assert listed == one
        return list(one["metrics"]["shedLoadIds"])

    assert await shown("evt-sheds", 0) == []
    circuits = (circuit("ev1", 2), circuit("dry", 0), circuit("hvac", 1))
    await world.answer("sheds", event_id="evt-sheds", status="accepted", circuits=circuits)
    assert await shown("evt-sheds", 1) == ["ev1", "hvac"]
    assert await shown(None, 2) == []
    assert await shown("evt-other", 3) == []
    # What was refused changes nothing, and no more does an answer to something else.
    await world.answer("sheds", timedelta(seconds=1), event_id="evt-sheds", status="rejected", circuits=())
    await world.answer("sheds", timedelta(seconds=2), op="ping", status="success")
    assert await shown("evt-sheds", 4) == ["ev1", "hvac"]
    # The device invents an event id; the correlation id finds the command.
    sent = await world.post(
        "/api/vens/sheds/commands", {"op": "shedPanel", "data": {"shedKw": 1, "durationS": 60}}, 202
    )
    await world.answer(
        "sheds",
        timedelta(seconds=3),
        correlation_id=sent["correlationId"],
        event_id="evt-1700000000",
        status="accepted",
        circuits=(circuit("panel", 2),),
    )
    assert await shown("evt-sheds", 5) == []
    assert await shown("evt-1700000000", 6) == await shown(sent["eventId"], 7) == ["panel"]


def test_of_every_table_it_is_decided_what_becomes_of_a_deleted_ven() -> None:
    decided = {*HISTORY, *KEPT, *LATEST, *PENDING_WORK, *RETAINING}
    assert {name for name, table in metadata.tables.items() if "ven_id" in table.columns} == decided


async def test_a_long_history_is_erased_in_the_background(
    world: ContractApi, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ven_erasure, "REQUEST_SECONDS", 0.0)
    moments = [now - timedelta(days=day, hours=8 * piece) for day in range(4) for piece in range(3)]
    await world.store.readings.store([reading("long", timestamp=at, received_at=at, loads=(HVAC,)) for at in moments])
    assert (await world.client.delete("/api/vens/long")).status_code == 204
    assert_problem(await world.client.get("/api/vens/long"), 404)
    # It is heard again before it is erased: what it sends now stays.
    later = datetime.now(UTC)
    await world.store.readings.store([reading("long", timestamp=later, received_at=later)])
    pool = await asyncpg.create_pool(**connect_options(world.database, "test"), min_size=1, max_size=1)
    background = asyncio.create_task(ven_erasure.erase_removed_vens(pool))

    async def erased() -> bool:
        return not await world.rows("SELECT FROM ven_removals")

    assert await wait_until(erased, 60)
    background.cancel()
    await pool.close()
    (left,) = await world.rows("SELECT time FROM telemetry_readings WHERE ven_id = 'long'")
    assert left["time"] == later
    assert await world.rows("SELECT FROM telemetry_loads WHERE ven_id = 'long'") == []


async def test_lists_can_be_narrowed_and_paged(world: ContractApi) -> None:
    for number in range(5):
        status = "disabled" if number % 2 else "planned"
        await world.new_ven(f"list-{number}", name=f"Straße {number} 100%_A", status=status)

    async def ids(**query: Any) -> list[str]:
        return [ven["id"] for ven in await world.get("/api/vens", **query)]

    assert await ids(q="LIST-", status="disabled") == ["list-1", "list-3"]
    assert await ids(q="3 100%_a") == ["list-3"]
    assert await ids(q="1%0") == []
    assert await ids(q="\\") == []
    assert await ids(q="", status="") == await ids()
    assert await ids(q="list-", status="nothing such") == []
    path, seen = "/api/vens/?q=list-&status=planned&limit=2", []
    while path:
        answer = await world.client.get(path)
        seen.append([ven["id"] for ven in answer.json()])
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""
    assert seen == [["list-0", "list-2"], ["list-4"]]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_summary_has_one_line_a_ven(world: ContractApi, slash: str) -> None:
    ven_id = f"sum{len(slash)}"
    await world.new_ven(ven_id)
    now = datetime.now(UTC)
    await world.store.readings.store([reading(ven_id, timestamp=now, received_at=now, loads=(HVAC, FRIDGE))])
    found = {line["id"]: line for line in await world.get(f"/api/vens/summary{slash}")}[ven_id]
    assert found == {
        "id": ven_id,
        "name": f"Home {ven_id}",
        "location": "37.420, -122.080",
        "status": "online",
        # The fridge cannot shed.
        "controllablePower": 2.0,
        "currentPower": 1.0,
        "address": "Lat 37.420 / Lon -122.080",
        "lastSeen": now.isoformat().replace("+00:00", "Z"),
        "responseTime": 0,
        "responses": 0,
    }


async def test_the_response_time_is_the_mean_of_the_last_first_answers(world: ContractApi) -> None:
    await world.new_ven("quick")
    for milliseconds in (100, 300):
        sent = await world.post("/api/vens/quick/commands", {"op": "ping"}, 202)
        (row,) = await world.rows("SELECT created_at FROM commands WHERE correlation_id = $1", sent["correlationId"])
        for extra in (0, 5000):  # acknowledged again
            at = row["created_at"] + timedelta(milliseconds=milliseconds + extra)
            await world.answer("quick", at=at, op="ping", status="success", correlation_id=sent["correlationId"])
    await world.answer("quick", op="ping", status="success")  # answers nothing that was asked
    (line,) = [line for line in await world.get("/api/vens/summary") if line["id"] == "quick"]
    assert line["responseTime"] == 200
    assert line["responses"] == 2


async def test_the_summary_is_paged_as_the_list(world: ContractApi) -> None:
    path, seen = "/api/vens/summary?limit=2", []
    while path:
        answer = await world.client.get(path)
        seen += [line["id"] for line in answer.json()]
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""
    assert seen == [ven["id"] for ven in await world.get("/api/vens")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"location": PLACE},
        {"name": "", "location": PLACE},
        {"name": "  ", "location": PLACE},
        {"name": "a\0b", "location": PLACE},
        {"name": "x" * 257, "location": PLACE},
        {"name": 5, "location": PLACE},
        {"name": "x", "location": {"lat": 90.1, "lon": 0}},
        {"name": "x", "location": {"lat": 0, "lon": -180.1}},
        {"name": "x", "location": {"lat": "1", "lon": 0}},
        {"name": "x", "location": {"lat": True, "lon": 0}},
        {"name": "x", "location": {"lat": 0}},
        {"name": "x", "location": [0, 0]},
        {"name": "x", "location": PLACE, "status": ""},
        {"name": "x", "location": PLACE, "status": "a\0"},
        *(
            {"name": "x", "location": PLACE, "registrationId": bad}
            for bad in ("", ".", "..", "summary", "a/b", "a+b", "a#b", "a\nb", "a\0b", "a\x85b", "x" * 129, 7)
        ),
    ],
)
async def test_what_cannot_be_a_ven_is_refused(world: ContractApi, body: Any) -> None:
    problem = assert_problem(await world.client.post("/api/vens", json=body), 422)
    assert problem["errors"]


async def test_loads_of_snapshots_go_with_their_ven_too(world: ContractApi, now: datetime) -> None:
    store = snapshot_store(world.store.database, world.store.partitions)
    await store.store([LoadSnapshot(ven_id="snap", timestamp=now, received_at=now, loads=(HVAC,))])
    assert len(await world.get("/api/vens/snap/loads")) == 1
    assert (await world.client.delete("/api/vens/snap")).status_code == 204
    assert await world.rows("SELECT FROM load_snapshots WHERE ven_id = 'snap'") == []
