"""Loads of a VEN: list, read, and PATCH, which sends setLoad and shows what was asked for until the VEN reports."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.conftest import ContractApi
from tests.support.readings import FRIDGE, HVAC, reading
from tests.support.rest import assert_problem

SHOWN = {
    "id": "hvac",
    "type": "hvac",
    "name": "HVAC",
    "capacityKw": 7.2,
    "shedCapabilityKw": 1.5,
    "currentPowerKw": 2.0,
    "enabled": True,
    "priority": 5,
    "pending": False,
}


async def reports(world: ContractApi, ven_id: str, after: timedelta = timedelta(0), **fields: Any) -> None:
    moment = datetime.now(UTC) + after
    values = {"timestamp": moment, "received_at": moment, "loads": (HVAC, FRIDGE), **fields}
    await world.store.readings.store([reading(ven_id, **values)])


@pytest.mark.parametrize("slash", ["", "/"])
async def test_loads_are_listed_and_read(world: ContractApi, slash: str) -> None:
    await reports(world, "home")
    listed = await world.get(f"/api/vens/home/loads{slash}")
    assert [load["id"] for load in listed] == ["hvac", "fridge"]
    assert listed[0] == await world.get(f"/api/vens/home/loads/hvac{slash}") == SHOWN


async def test_a_ven_without_reported_loads_has_none(world: ContractApi) -> None:
    await world.new_ven("bare")
    assert await world.get("/api/vens/bare/loads") == []


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("path", ["/api/vens/nobody/loads/hvac", "/api/vens/home4/loads/nothing"])
async def test_an_unknown_id_is_a_404(world: ContractApi, method: str, path: str) -> None:
    await reports(world, "home4")
    body = {"enabled": False} if method == "PATCH" else None
    assert_problem(await world.client.request(method, path, json=body), 404)
    assert_problem(await world.client.get("/api/vens/nobody/loads"), 404)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"capacityKw": 3.5}, {"priority": 1}, {"enabled": True, "capacityKw": 0}]
)
async def test_a_patch_sends_set_load_and_returns_the_request(
    world: ContractApi, change: dict[str, Any], slash: str
) -> None:
    await world.client.delete("/api/vens/set")
    await reports(world, "set", timedelta(seconds=-1))
    answer = await world.client.patch(f"/api/vens/set/loads/hvac{slash}", json=change)
    assert answer.status_code == 200
    assert answer.json() == {**SHOWN, **change, "pending": True}
    (row,) = await world.rows("SELECT * FROM commands WHERE ven_id = 'set'")
    payload = json.loads(row["payload"])
    correlation_id = row["correlation_id"]
    assert payload == {
        "op": "setLoad",
        "correlationId": correlation_id,
        "venId": "set",
        "data": {"loadId": "hvac", **change},
    }


async def test_a_requested_load_change_is_shown_until_the_ven_reports(world: ContractApi) -> None:
    await reports(world, "wish", timedelta(seconds=-1))
    for change in ({"enabled": False}, {"priority": 9}, {"priority": 8, "enabled": None}):
        await world.client.patch("/api/vens/wish/loads/hvac", json=change)
    wished = {**SHOWN, "enabled": False, "priority": 8, "pending": True}
    assert await world.get("/api/vens/wish/loads/hvac") == wished
    ven = await world.get("/api/vens/wish")
    assert ven["loads"][0] == wished
    assert ven["metrics"]["shedAvailabilityKw"] == 0.0
    # A reading that says nothing of loads changes nothing; one that was measured before arrives late.
    await reports(world, "wish", loads=None)
    await reports(world, "wish", timedelta(seconds=-30), received_at=datetime.now(UTC))
    assert await world.get("/api/vens/wish/loads/hvac") == wished
    await reports(world, "wish")
    assert await world.get("/api/vens/wish/loads/hvac") == SHOWN


@pytest.mark.parametrize("hours", [-20, 0.05])
async def test_clock_skew_does_not_hide_a_requested_change(world: ContractApi, hours: float) -> None:
    """Its loads are as old as their corrected time says."""
    ven_id = f"clock{hours}"
    off = timedelta(hours=hours)

    async def says() -> None:
        now = datetime.now(UTC)
        await world.store.readings.store(
            [reading(ven_id, timestamp=now + off, received_at=now, clock_skew_seconds=-hours * 3600, loads=(HVAC,))]
        )

    await says()
    await world.client.patch(f"/api/vens/{ven_id}/loads/hvac", json={"priority": 1})
    assert (await world.get(f"/api/vens/{ven_id}/loads/hvac"))["pending"] is True
    await says()
    assert (await world.get(f"/api/vens/{ven_id}/loads/hvac"))["pending"] is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"enabled": None},
        {"name": "x"},
        {"enabled": 1},
        {"enabled": "true"},
        {"capacityKw": -1},
        {"capacityKw": 1e10},
        {"capacityKw": "1"},
        {"priority": 1.5},
        {"priority": 2**31},
        {"priority": -1},
        [],
        "x",
        None,
    ],
)
async def test_an_impossible_load_setting_is_a_422(world: ContractApi, body: Any) -> None:
    await reports(world, "strict")
    answer = await world.client.patch("/api/vens/strict/loads/hvac", json=body)
    assert assert_problem(answer, 422)["errors"]
    assert await world.rows("SELECT FROM commands WHERE ven_id = 'strict'") == []
