"""A DR event of 200 VENs with every behaviour, from the REST call to shed and restored circuits."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.fleet import Behaviour, Fleet, FleetOptions, publishing
from gateway.local.system import System
from gateway.reconciliation.command_observer import observe_commands
from gateway.stack.polling import wait_until
from runtime.database import Connection
from tests.e2e.dr_event_checks import (
    assert_acks_and_circuits,
    assert_command_history,
    assert_each_command_sent_once,
    assert_funnel_and_response_times,
    assert_history,
    assert_no_command_is_retained,
    assert_shares_match,
)
from tests.e2e.dr_event_scene import (
    BEHAVIOURS,
    DURATION_SECONDS,
    EXACT,
    INTERVAL_SECONDS,
    LATE_VENS,
    NOT_SHEDDING,
    QUICK,
    REQUESTED_KW,
    ROUNDED,
    STATUS,
    VENS,
    WAIT,
    Scene,
)


@pytest.mark.timeout(400)
async def test_an_event_runs_once_and_all_results_are_correct(system: System, stored: Connection) -> None:
    broker: dict[str, Any] = {
        "host": system.stack.mqtt_host,
        "port": system.stack.mqtt_port,
        "interval": INTERVAL_SECONDS,
    }
    fleet = Fleet(FleetOptions(**broker, vens=VENS, prefix="ven-event", behaviours=BEHAVIOURS, **QUICK))
    late = Fleet(FleetOptions(**broker, vens=LATE_VENS, prefix="ven-late", connections=1, seed=2))
    async with (
        httpx.AsyncClient(base_url=system.api, timeout=20, trust_env=False) as api,
        observe_commands(broker["host"], broker["port"], "test-dr-event") as seen,
    ):
        scene = Scene(api, seen, fleet, late)
        for ven_id in late.behaviours:  # the event can address only registered VENs
            body = {"name": ven_id, "location": {"lat": 37.0, "lon": -122.0}, "registrationId": ven_id}
            (await api.post("/api/vens", json=body)).raise_for_status()
        async with publishing(fleet):
            assert await wait_until(lambda: scene.online(fleet.behaviours), WAIT, every=0.25)
            await start_event(scene)
            assert await seen.wait_for_vens(scene.event_id, "event", fleet.behaviours, 10), "commands are missing"
            async with publishing(late):
                await assert_active_reduction(scene)
                await wait_until_restored(scene)
        over = await wait_for_settled_event(scene)
        await assert_each_command_sent_once(scene, over, stored)
        assert_shares_match(scene, over)
        assert_funnel_and_response_times(scene, over)
        await assert_acks_and_circuits(scene)
        await assert_command_history(scene, over)
        await assert_history(scene, over)
        await assert_no_command_is_retained(system)


async def start_event(scene: Scene) -> None:
    now = datetime.now(UTC)
    body = {
        "startTime": now.isoformat(),
        "endTime": (now + timedelta(seconds=DURATION_SECONDS)).isoformat(),
        "requestedReductionKw": REQUESTED_KW,
        "status": "active",
        "venIds": list(scene.behaviours),
    }
    created = (await scene.api.post("/api/events", json=body)).raise_for_status().json()
    scene.event_id = created["id"]
    scene.ends_at = datetime.fromisoformat(created["endTime"]).timestamp()


async def assert_active_reduction(scene: Scene) -> None:
    """After the power cuts and the late joiners, the reduction equals that of the fleet."""

    stay = [
        ven_id for ven_id, behaviour in scene.behaviours.items() if behaviour not in {*NOT_SHEDDING, Behaviour.FORGETS}
    ]

    def all_is_quiet() -> bool:
        last = {
            ven_id: sample.event_id
            for fleet in (scene.fleet, scene.late)
            for ven_id in fleet.dr.ven_ids()
            for sample in fleet.dr.samples(ven_id)
        }
        return {ven_id for ven_id, event_id in last.items() if event_id == scene.event_id} == set(stay)

    def forgotten() -> bool:
        return len(scene.fleet.dr.power_cuts) == len(scene.with_behaviour(Behaviour.FORGETS))

    assert await wait_until(forgotten, WAIT, every=0.2)
    assert await wait_until(all_is_quiet, WAIT, every=0.2)
    expected = scene.reduction_now()
    assert expected > REQUESTED_KW / 4

    async def agrees() -> bool:
        event = await scene.detail()
        assert event["status"] == "active"
        return bool(
            event["currentReductionKw"] == event["actualReductionKw"] == pytest.approx(expected, rel=EXACT, abs=ROUNDED)
            and (await scene.get(f"/api/events/{scene.event_id}/metrics"))["currentReductionKw"]
            == pytest.approx(expected, rel=EXACT, abs=ROUNDED)
            and event["vensResponding"] == len(scene.behaviours) - len(scene.with_behaviour(*NOT_SHEDDING))
        )

    assert await wait_until(agrees, WAIT, every=0.25), (await scene.detail(), expected)
    assert scene.reduction_now() == pytest.approx(expected), "the moment was not quiet"
    current = await scene.get("/api/events/current")
    assert (current["id"], current["currentReductionKw"]) == (
        scene.event_id,
        pytest.approx(expected, rel=EXACT, abs=ROUNDED),
    )
    accepted_samples = {ven["venId"]: ven["status"] for ven in (await scene.detail())["vens"]}
    expected_status = {
        ven_id: STATUS[behaviour] if behaviour in {*NOT_SHEDDING, Behaviour.FORGETS} else "shedding"
        for ven_id, behaviour in scene.behaviours.items()
    }
    assert await wait_until(lambda: statuses_are(scene, expected_status), WAIT, every=0.25), accepted_samples


async def statuses_are(scene: Scene, expected: Mapping[str, str]) -> bool:
    # A VEN with nothing to switch off accepts and sheds nothing.
    event = await scene.detail()
    found = {ven["venId"]: ven["status"] for ven in event["vens"]}
    idle = {ven["venId"] for ven in event["vens"] if ven["shedKw"] == 0 and ven["status"] == "accepted"}
    return found.keys() == expected.keys() and all(
        found[ven_id] == status or (status == "shedding" and ven_id in idle) for ven_id, status in expected.items()
    )


async def wait_until_restored(scene: Scene) -> None:
    assert await scene.observer.wait_for_vens(scene.event_id, "restore", scene.behaviours, DURATION_SECONDS + WAIT), (
        "not all were restored"
    )

    async def all_at_rest() -> bool:
        return await statuses_are(scene, {ven_id: STATUS[behaviour] for ven_id, behaviour in scene.behaviours.items()})

    assert await wait_until(all_at_rest, WAIT, every=0.5), Counter(
        (scene.behaviours[ven["venId"]], ven["status"]) for ven in (await scene.detail())["vens"]
    )


async def wait_for_settled_event(scene: Scene) -> dict[str, Any]:
    """Wait until the results equal those of the fleet's own samples, in total and for each VEN."""
    event = await scene.detail()
    start, end = (datetime.fromisoformat(event[name]).timestamp() for name in ("startTime", "endTime"))
    outcome = scene.outcome(start, end)
    assert outcome.reduction_kw > REQUESTED_KW / 4

    async def agrees() -> bool:
        event.update(await scene.detail())
        return bool(
            event["status"] == "completed"
            and event["currentReductionKw"] == 0
            and event["actualReductionKw"] == pytest.approx(outcome.reduction_kw, rel=EXACT, abs=ROUNDED)
            and event["deliveredKwh"] == pytest.approx(outcome.delivered_kwh, rel=EXACT, abs=ROUNDED)
            and event["coveredShare"] == pytest.approx(outcome.covered_share, rel=EXACT, abs=ROUNDED)
            and {ven["venId"]: ven["deliveredKwh"] for ven in event["vens"]}
            == pytest.approx(outcome.energy_kwh, rel=EXACT, abs=ROUNDED)
            and {ven["venId"]: ven["shedKw"] for ven in event["vens"]}
            == pytest.approx(outcome.mean_kw, rel=EXACT, abs=ROUNDED)
        )

    assert await wait_until(agrees, WAIT, every=0.5), (event, outcome)
    for listed in (await scene.get("/api/events", limit=1000), await scene.get("/api/events/history")):
        (mine,) = [each for each in listed if each["id"] == scene.event_id]
        assert mine["actualReductionKw"] == pytest.approx(outcome.reduction_kw, rel=EXACT, abs=ROUNDED)
    return event
