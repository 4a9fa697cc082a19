"""What an event comes to, and what VENs acknowledged of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.parsing.acks import Curtailment
from tests.contract.conftest import ContractApi
from tests.contract.test_events import HOUR, event
from tests.support.readings import HVAC, reading
from tests.support.rest import assert_problem


async def says(world: ContractApi, ven_id: str, moment: datetime, shed_kw: float | None, event_id: str | None) -> None:
    said = reading(ven_id, timestamp=moment, received_at=moment, shed_power_kw=shed_kw, event_id=event_id)
    await world.store.readings.store([said])


async def past_event(world: ContractApi, **fields: Any) -> tuple[str, datetime]:
    """An hour that ended an hour ago."""
    body = event(-2 * HOUR, **fields)
    return (await world.post("/api/events", body))["id"], datetime.fromisoformat(body["startTime"])


async def actuals(world: ContractApi, event_id: str) -> set[float]:
    """The figure as each resource shows it."""
    listed = [*await world.get("/api/events", limit=1000), *await world.get("/api/events/history")]
    detail = await world.get(f"/api/events/{event_id}")
    return {round(each["actualReductionKw"], 6) for each in [detail, *listed] if each["id"] == event_id}


async def test_an_active_events_reduction_sums_the_latest_sheds(world: ContractApi) -> None:
    created = await world.post("/api/events", event(-HOUR / 2))
    event_id = created["id"]
    now = datetime.now(UTC)
    for seconds, shed in ((30, 9.0), (20, 3.0), (10, 2.0)):  # never the sum over samples
        await says(world, "act-1", now - timedelta(seconds=seconds), shed, event_id)
    await says(world, "act-2", now, 1.5, event_id)
    await says(world, "act-3", now, 7.0, "evt-other")
    await says(world, "act-4", now, None, event_id)
    await says(world, "act-5", now - timedelta(seconds=9), 5.0, event_id)
    await says(world, "act-5", now, 0.0, None)  # has lost it
    assert await actuals(world, event_id) == {3.5}
    assert await world.get("/api/events/current") == {**created, **_expected(3.5, 3.5, responding=2)}
    for slash in ("", "/"):
        metrics = await world.get(f"/api/events/{event_id}/metrics{slash}")
        assert metrics == {"currentReductionKw": 3.5, "vensResponding": 2, "avgResponseMs": 0, "responses": 0}
    vens = (await world.get(f"/api/events/{event_id}"))["vens"]
    assert {ven["venId"]: (ven["shedKw"], ven["status"]) for ven in vens} == {
        "act-1": (2.0, "shedding"),
        "act-2": (1.5, "shedding"),
        "act-4": (0.0, "targeted"),
    }


def _expected(actual: float, current: float, responding: int, ms: int = 0, responses: int = 0) -> dict[str, Any]:
    return {
        "actualReductionKw": actual,
        "currentReductionKw": current,
        "vensResponding": responding,
        "avgResponseMs": ms,
        "responses": responses,
    }


async def test_a_completed_events_reduction_is_the_time_average(world: ContractApi) -> None:
    event_id, start = await past_event(world)
    minute = timedelta(minutes=1)
    # Half an hour of 4 kW in one sample, then nothing in very many.
    await says(world, "avg-1", start, 4.0, event_id)
    for second in range(0, 60, 5):
        await says(world, "avg-1", start + 30 * minute + timedelta(seconds=second), 0.0, event_id)
    # From a quarter past on, 2 kW, and with the next event nothing.
    await says(world, "avg-2", start + 15 * minute, 2.0, event_id)
    await says(world, "avg-2", start + 45 * minute, 8.0, "evt-next")
    # After the end nothing counts.
    await says(world, "avg-3", start + 61 * minute, 50.0, event_id)
    assert await actuals(world, event_id) == {3.0}
    detail = await world.get(f"/api/events/{event_id}")
    assert {ven["venId"]: ven["shedKw"] for ven in detail["vens"]} == {
        "avg-1": pytest.approx(2.0),
        "avg-2": pytest.approx(1.0),
    }
    assert (detail["currentReductionKw"], detail["vensResponding"]) == (0.0, 2)
    # A VEN that was offline brings its samples later.
    await says(world, "avg-4", start, 1.0, event_id)
    assert await actuals(world, event_id) == {4.0}


async def test_a_stopped_event_is_averaged_to_its_end(world: ContractApi) -> None:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    (row,) = await world.rows("SELECT start_time FROM events WHERE event_id = $1", event_id)
    await says(world, "early", row["start_time"], 6.0, event_id)
    await world.client.post(f"/api/events/{event_id}/stop")
    assert await actuals(world, event_id) == {6.0}


async def test_settled_results_are_shown_unchanged(world: ContractApi) -> None:
    event_id, start = await past_event(world)
    await says(world, "settled", start, 2.0, event_id)
    assert await actuals(world, event_id) == {2.0}
    await world.rows(
        "INSERT INTO event_vens (event_id, ven_id, share_kw, reason, energy_kwh, covered_seconds) "
        "VALUES ($1, 'settled', 3, 'equal', 1.5, 1800), ($1, 'mute', 3, 'equal', 0, 0)",
        event_id,
    )
    await world.rows("UPDATE events SET actual_reduction_kw = 1.5 WHERE event_id = $1", event_id)
    assert await actuals(world, event_id) == {2.0}  # not yet settled
    await world.rows("UPDATE events SET settled_at = now() WHERE event_id = $1", event_id)
    assert await actuals(world, event_id) == {1.5}
    detail = await world.get(f"/api/events/{event_id}")
    assert (detail["deliveredKwh"], detail["coveredShare"], detail["vensResponding"]) == (1.5, 0.25, 1)
    assert [(ven["venId"], ven["shedKw"], ven["deliveredKwh"]) for ven in detail["vens"]] == [
        ("mute", 0.0, 0.0),
        ("settled", 1.5, 1.5),
    ]
    # One that was figured out before VENs were chosen for events has its total only.
    await world.rows("DELETE FROM event_vens WHERE event_id = $1", event_id)
    detail = await world.get(f"/api/events/{event_id}")
    assert (detail["actualReductionKw"], [ven["shedKw"] for ven in detail["vens"]]) == (1.5, [2.0])


async def command(world: ContractApi, ven_id: str, event_id: str) -> tuple[str, datetime]:
    now = datetime.now(UTC)
    await world.store.readings.store([reading(ven_id, timestamp=now, received_at=now, loads=(HVAC,))])
    body = {"shedKw": 2.0, "durationS": 60, "eventId": event_id}
    sent = await world.post(f"/api/vens/{ven_id}/send-event", body, 202)
    (row,) = await world.rows("SELECT * FROM commands WHERE correlation_id = $1", sent["correlationId"])
    return sent["correlationId"], row["created_at"]


CIRCUIT = Curtailment(
    id="ev1", name="EV Charger", breaker_amps=50, original_kw=8.5, curtailed_kw=8.5, final_kw=0.0, critical=False
)
BARE = Curtailment(
    id="hvac", name="hvac", breaker_amps=None, original_kw=None, curtailed_kw=0.5, final_kw=None, critical=False
)
SHOWN = {
    "id": "ev1",
    "name": "EV Charger",
    "breaker_amps": 50.0,
    "original_kw": 8.5,
    "curtailed_kw": 8.5,
    "final_kw": 0.0,
    "critical": False,
}
SHOWN_BARE = {
    "id": "hvac",
    "name": "hvac",
    "breaker_amps": 0.0,
    "original_kw": 2.0,
    "curtailed_kw": 0.5,
    "final_kw": 1.5,
    "critical": False,
}


@pytest.mark.parametrize("slash", ["", "/"])
async def test_acks_belong_to_the_event_of_their_command(world: ContractApi, slash: str) -> None:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    ven_id = f"acks{len(slash)}"
    correlation_id, sent_at = await command(world, ven_id, event_id)
    first = await world.answer(
        ven_id,
        at=sent_at + timedelta(milliseconds=250),
        status="accepted",
        correlation_id=correlation_id,
        event_id="evt-1700000000",  # made up by the device
        requested_shed_kw=2.0,
        actual_shed_kw=1.5,
        circuits=(CIRCUIT, BARE),
    )
    ping = await world.answer(ven_id, timedelta(seconds=2), op="ping", status="success")
    own = await world.answer(ven_id, timedelta(seconds=3), status="accepted", event_id="ui-evt-1")
    listed = await world.get(f"/api/events/{event_id}/acks{slash}")
    assert listed == [
        {
            "id": listed[0]["id"],
            "venId": ven_id,
            "eventId": event_id,
            "correlationId": correlation_id,
            "op": "event",
            "status": "accepted",
            "timestamp": first.timestamp.isoformat().replace("+00:00", "Z"),
            "timedByArrival": False,
            "requestedShedKw": 2.0,
            "actualShedKw": 1.5,
            "circuitsCurtailed": [SHOWN, SHOWN_BARE],
        }
    ]
    # All of the VEN, and those of events; newest first.
    everything = await world.get(f"/api/vens/{ven_id}/acks{slash}")
    assert [each["op"] for each in everything] == ["event", "ping", "event"]
    assert everything[1]["eventId"] is everything[1]["correlationId"] is None
    assert everything[2] == listed[0]
    assert [each["eventId"] for each in await world.get(f"/api/vens/{ven_id}/events{slash}")] == ["ui-evt-1", event_id]
    assert len({each["id"] for each in everything}) == 3
    bounds = {"start": ping.timestamp.isoformat(), "end": own.timestamp.isoformat()}
    assert [each["op"] for each in await world.get(f"/api/vens/{ven_id}/acks{slash}", **bounds)] == ["ping"]
    assert [each["op"] for each in await world.get(f"/api/vens/{ven_id}/acks{slash}", limit=2)] == ["event", "ping"]
    assert await world.get(f"/api/vens/{ven_id}/events{slash}", **bounds) == []
    # What they come to.
    detail = await world.get(f"/api/events/{event_id}")
    assert (detail["vensResponding"], detail["avgResponseMs"], detail["responses"]) == (1, 250, 1)
    assert [(ven["venId"], ven["status"]) for ven in detail["vens"]] == [(ven_id, "accepted")]


async def test_without_a_command_the_acks_own_event_counts(world: ContractApi) -> None:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    await world.answer("said", status="accepted", event_id=event_id)
    await world.answer("liar", status="accepted", event_id=event_id, correlation_id="of-nobody")
    # Another VEN's correlation id proves nothing.
    correlation_id, _ = await command(world, "owner", "evt-else")
    await world.answer("thief", status="accepted", event_id=event_id, correlation_id=correlation_id)
    assert {each["venId"] for each in await world.get(f"/api/events/{event_id}/acks")} == {"said", "liar", "thief"}


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([], "targeted"),
        ([("event", "accepted")], "accepted"),
        ([("event", "rejected")], "refused"),
        ([("event", "failed"), ("event", "accepted")], "accepted"),
        ([("event", "accepted"), ("restore", "success")], "restored"),
        ([("event", "success")], "accepted"),
    ],
)
async def test_each_ven_shows_its_progress(world: ContractApi, answers: list[tuple[str, str]], status: str) -> None:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    correlation_id, _ = await command(world, "far", event_id)
    restore = await world.post("/api/vens/far/commands", {"op": "restore", "data": {"eventId": event_id}}, 202)
    for number, (op, said) in enumerate(answers):
        answered = restore["correlationId"] if op == "restore" else correlation_id
        # The device answers a restore with no event id.
        await world.answer("far", timedelta(seconds=number), op=op, status=said, correlation_id=answered)
    detail = await world.get(f"/api/events/{event_id}")
    assert [ven["status"] for ven in detail["vens"]] == [status]
    assert detail["vensResponding"] == int(status in {"accepted", "restored"})


@pytest.mark.parametrize("slash", ["", "/"])
async def test_each_circuit_shows_its_last_ack(world: ContractApi, slash: str) -> None:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    await world.new_ven(f"circ{len(slash)}")
    for seconds in (1, 2):  # a repeat is acknowledged again
        last = await world.answer(
            f"circ{len(slash)}", timedelta(seconds=seconds), status="accepted", event_id=event_id, circuits=(CIRCUIT,)
        )
    assert await world.get(f"/api/events/{event_id}/circuits{slash}") == [
        {
            "venId": f"circ{len(slash)}",
            "venName": f"Home circ{len(slash)}",
            "timestamp": last.timestamp.isoformat().replace("+00:00", "Z"),
            **SHOWN,
        }
    ]


async def test_a_deleted_event_stays_in_the_history_of_its_vens(world: ContractApi) -> None:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    await world.answer("keeps", status="accepted", event_id=event_id)
    await world.client.delete(f"/api/events/{event_id}")
    assert [each["eventId"] for each in await world.get("/api/vens/keeps/events")] == [event_id]


@pytest.mark.parametrize("path", ["acks", "events"])
async def test_acks_need_a_known_ven_and_valid_bounds(world: ContractApi, path: str) -> None:
    assert_problem(await world.client.get(f"/api/vens/nobody/{path}"), 404)
    await world.new_ven(f"quiet-{path}")
    assert await world.get(f"/api/vens/quiet-{path}/{path}") == []
    for query in ({"limit": 0}, {"limit": 5001}, {"start": "x"}, {"start": "2025-01-02", "end": "2025-01-01"}):
        assert_problem(await world.client.get(f"/api/vens/quiet-{path}/{path}", params=query), 422)
