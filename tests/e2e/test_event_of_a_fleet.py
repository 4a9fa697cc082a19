"""One DR event from the REST call to circuits shed and back, with homes that misbehave: figures held against the
fleet's own."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.fleet import Fleet, FleetOptions, Manner
from gateway.stack.polling import until
from gateway.system import System
from tests.support.dr_figures import commands_of, outcome_of, reduction_at

VENS = 24
LASTS = 14
WAIT = 30
# One of each.
MANNERS: dict[Manner, float] = {manner: 1 / VENS for manner in Manner if manner is not Manner.OBEDIENT}
QUICK: dict[str, Any] = {"slow_seconds": 2.0, "power_cut_seconds": 4.0}


@pytest.mark.timeout(180)
async def test_an_event_comes_to_what_the_fleet_says(system: System) -> None:
    broker: dict[str, Any] = {"host": system.stack.mqtt_host, "port": system.stack.mqtt_port}
    options = FleetOptions(**broker, vens=VENS, interval=1.0, prefix="ven-dr", manners=MANNERS, **QUICK)
    fleet, stop = Fleet(options), asyncio.Event()
    mine = list(fleet.manners)
    async with httpx.AsyncClient(base_url=system.api, timeout=10) as api, asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=stop))

        async def detail(event_id: str) -> dict[str, Any]:
            answer = await api.get(f"/api/events/{event_id}")
            assert answer.is_success, answer.text
            return dict(answer.json())

        async def all_online() -> bool:
            vens = (await api.get("/api/vens/summary")).json()
            online = {ven["id"] for ven in vens if ven["status"] == "online" and ven["controllablePower"] > 0}
            return online >= set(mine)

        assert await until(all_online, WAIT, every=0.2)
        now = datetime.now(UTC)
        # A whole second, as samples have: settled at once, its figures hold whatever is still on its way.
        ends = (now + timedelta(seconds=LASTS)).replace(microsecond=0)
        asked = {
            "startTime": now.isoformat(),
            "endTime": ends.isoformat(),
            "requestedReductionKw": VENS * 0.3,
            "status": "active",
            "venIds": mine,
        }
        event_id = (await api.post("/api/events", json=asked)).raise_for_status().json()["id"]

        async def all_told() -> bool:
            event = await detail(event_id)
            return bool(event["status"] == "active" and event["funnel"]["acknowledged"] >= VENS - 2)

        assert await until(all_told, LASTS, every=0.2)
        kw_then = reduction_at(fleet.dr, event_id, datetime.now(UTC).timestamp() - 0.5)
        assert kw_then > 0

        async def all_restored() -> bool:
            # Those who refused and the silent one never reported it; the forgetful one had lost it.
            return bool((await detail(event_id))["funnel"]["restored"] >= VENS - 2)

        assert await until(all_restored, LASTS + WAIT, every=0.5)
        stop.set()
        over = await detail(event_id)
    expected = Counter((ven_id, op) for ven_id in mine for op in ("event", "restore"))
    assert commands_of(fleet.dr, event_id) == expected
    start, end = (datetime.fromisoformat(over[name]).timestamp() for name in ("startTime", "endTime"))
    outcome = outcome_of(fleet.dr, event_id, start, end)

    expected_figures = {
        "kW": outcome.reduction_kw,
        "kWh": outcome.delivered_kwh,
        "covered": outcome.covered_share,
        **outcome.energy_kwh,
    }
    figures: dict[str, float] = {}

    async def settled() -> bool:
        async with httpx.AsyncClient(base_url=system.api, timeout=10) as api:
            told = (await api.get(f"/api/events/{event_id}")).json()
        figures.update(kW=told["actualReductionKw"], kWh=told["deliveredKwh"], covered=told["coveredShare"])
        figures.update({ven["venId"]: ven["deliveredKwh"] for ven in told["vens"]})
        return figures == pytest.approx(expected_figures)

    await until(settled, WAIT, every=0.5)
    assert figures == pytest.approx(expected_figures)
    by_manner = {fleet.manners[ven["venId"]]: ven["status"] for ven in over["vens"]}
    assert by_manner[Manner.REFUSES] == "refused"
    assert by_manner[Manner.OBEDIENT] == by_manner[Manner.SLOW] == by_manner[Manner.PARTIAL] == "restored"
    assert over["funnel"]["lost"] == 1
