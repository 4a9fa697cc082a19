"""Commands: what they answer, and the payload that a device will read, to the letter."""

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from api.queries.ven_erasure import fetch_pending
from api.services import ven_erasure
from runtime.database import connect_options
from tests.contract.conftest import ContractApi
from tests.support.readings import HVAC, reading
from tests.support.rest import assert_problem


async def payload_of(world: ContractApi, sent: dict[str, Any]) -> dict[str, Any]:
    (row,) = await world.rows("SELECT * FROM commands WHERE correlation_id = $1", sent["correlationId"])
    payload: dict[str, Any] = json.loads(row["payload"])
    assert (row["ven_id"], row["op"], row["event_id"]) == (sent["venId"], sent["op"], sent["eventId"])
    assert payload["venId"] == sent["venId"]
    assert payload["op"] == sent["op"]
    assert payload["correlationId"] == sent["correlationId"]
    return payload


@pytest.fixture(autouse=True)
async def home(world: ContractApi) -> None:
    now = datetime.now(UTC)
    await world.store.readings.store([reading("home", timestamp=now, received_at=now, loads=(HVAC,))])


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"amountKw": 2.0}, {"reduceKw": 2.0}),
        ({"amountKw": 2, "durationS": None, "eventId": None}, {"reduceKw": 2.0}),
        (
            {"amountKw": 2.0, "durationS": 900, "eventId": "evt-9"},
            {"reduceKw": 2.0, "durationS": 900, "eventId": "evt-9"},
        ),
    ],
)
async def test_a_shed_of_one_load_is_sent(
    world: ContractApi, slash: str, body: dict[str, Any], data: dict[str, Any]
) -> None:
    sent = await world.post(f"/api/vens/home/loads/hvac/commands/shed{slash}", body, 202)
    payload = await payload_of(world, sent)
    assert payload["op"] == "shedLoad"
    assert payload["data"] == {"loadId": "hvac", **data}


@pytest.mark.parametrize("slash", ["", "/"])
async def test_send_event_sends_an_event_command(world: ContractApi, slash: str) -> None:
    event_id = f"evt-12{len(slash)}"
    body = {"shedKw": 5.0, "durationS": 3600, "eventId": event_id}
    sent = await world.post(f"/api/vens/home/send-event{slash}", body, 202)
    assert sent["correlationId"].startswith(f"evt-{event_id}-")
    assert len(sent["correlationId"]) == len(f"evt-{event_id}-") + 8
    assert await payload_of(world, sent) == {
        "op": "event",
        "correlationId": sent["correlationId"],
        "venId": "home",
        "event_id": event_id,
        "shed_kw": 5.0,
        "duration_sec": 3600,
        "data": {"event_id": event_id, "requestedReductionKw": 5.0, "duration_s": 3600},
    }


async def test_an_event_without_an_id_gets_one(world: ContractApi) -> None:
    sent = await world.post("/api/vens/home/send-event", {"shedKw": 5.0, "durationS": 60}, 202)
    assert sent["eventId"].startswith("evt-")
    assert (await payload_of(world, sent))["event_id"] == sent["eventId"]


async def test_an_event_is_not_sent_twice_until_restored(world: ContractApi) -> None:
    body = {"shedKw": 5.0, "durationS": 60, "eventId": "evt-twice"}
    await world.post("/api/vens/home/send-event", body, 202)
    assert_problem(await world.client.post("/api/vens/home/send-event", json=body), 409)
    panel = {"op": "shedPanel", "data": {"requestedReductionKw": 1, "durationS": 60, "eventId": "evt-twice"}}
    assert_problem(await world.client.post("/api/vens/home/commands", json=panel), 409)
    await world.post("/api/vens/home/commands", {"op": "restore", "data": {"eventId": "evt-twice"}}, 202)
    await world.post("/api/vens/home/send-event", body, 202)
    assert_problem(await world.client.post("/api/vens/home/send-event", json=body), 409)
    # The device ends it by itself.
    await world.rows("UPDATE commands SET ends_at = ends_at - interval '1 minute' WHERE event_id = 'evt-twice'")
    sent = await world.post("/api/vens/home/send-event", body, 202)
    # It was too late to be sent.
    await world.rows("UPDATE commands SET expired_at = now() WHERE correlation_id = $1", sent["correlationId"])
    await world.post("/api/vens/home/send-event", body, 202)


@pytest.mark.parametrize(
    ("path", "body", "seconds"),
    [
        ("send-event", {"shedKw": 1, "durationS": 60}, 60),
        ("commands", {"op": "event", "data": {"shedKw": 1, "duration_sec": 61}}, 61),
        ("commands", {"op": "shedPanel", "data": {"shedKw": 1, "durationS": 62}}, 62),
        ("loads/hvac/commands/shed", {"amountKw": 1, "durationS": 63}, 63),
        ("loads/hvac/commands/shed", {"amountKw": 1}, None),
        ("commands", {"op": "reboot", "data": {"durationS": 64}}, None),
        ("commands", {"op": "restore"}, None),
    ],
)
async def test_a_shed_ends_after_its_duration(world: ContractApi, path: str, body: Any, seconds: int | None) -> None:
    await world.post("/api/vens/home/commands", {"op": "restore"}, 202)
    sent = await world.post(f"/api/vens/home/{path}", body, 202)
    (row,) = await world.rows(
        "SELECT extract(epoch FROM ends_at - created_at) AS seconds FROM commands WHERE correlation_id = $1",
        sent["correlationId"],
    )
    assert row["seconds"] == seconds


async def told_by_the_gateway(
    world: ContractApi, ven_id: str, event_id: str, *, ends: str = "now() + interval '1 hour'"
) -> None:
    """As the dispatcher does at the start of an event."""
    await world.rows(
        "INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, phase, ends_at) "  # noqa: S608 - our own
        f"VALUES ($1, $2, 'event', $3, '{{}}', 'event', {ends})",
        f"evt-{event_id}-{ven_id}",
        ven_id,
        event_id,
    )


async def test_a_ven_in_an_event_gets_no_other_until_restored(world: ContractApi) -> None:
    await world.new_ven("engaged")
    await told_by_the_gateway(world, "engaged", "evt-of-yesterday", ends="now() - interval '1 second'")
    await told_by_the_gateway(world, "engaged", "evt-engaged")
    event = {"shedKw": 5.0, "durationS": 60, "eventId": "evt-another"}
    panel = {"op": "shedPanel", "data": {"requestedReductionKw": 1, "durationS": 60}}
    for path, body in (("send-event", event), ("commands", panel)):
        refused = assert_problem(await world.client.post(f"/api/vens/engaged/{path}", json=body), 409)
        assert refused["detail"] == (
            "engaged takes part in evt-engaged and would shed on top of it; send a restore first"
        )
    await world.post("/api/vens/engaged/commands", {"op": "ping"}, 202)
    # A restore that names nothing is of what it ends.
    restore = await world.post("/api/vens/engaged/commands", {"op": "restore"}, 202)
    assert restore["eventId"] == "evt-engaged"
    assert "data" not in await payload_of(world, restore)
    (row,) = await world.rows(
        "SELECT ends_at <= now() AS over FROM commands WHERE correlation_id = 'evt-evt-engaged-engaged'"
    )
    assert row["over"]
    await world.post("/api/vens/engaged/send-event", event, 202)
    # And one that finds nothing to end is of nothing.
    await world.post("/api/vens/engaged/commands", {"op": "restore"}, 202)
    assert (await world.post("/api/vens/engaged/commands", {"op": "restore"}, 202))["eventId"] is None


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("op", "given", "data"),
    [
        ("ping", None, None),
        ("ping", {}, None),
        ("get", {"what": "loads"}, {"what": "loads"}),
        (
            "setConfig",
            {"report_interval_seconds": 15, "target_power_kw": 1.3},
            {"report_interval_seconds": 15, "target_power_kw": 1.3},
        ),
        ("setLoad", {"loadId": "hvac", "enabled": True}, {"loadId": "hvac", "enabled": True}),
        ("shedLoad", {"loadId": "hvac", "amountKw": 1, "x": [1]}, {"loadId": "hvac", "reduceKw": 1.0, "x": [1]}),
        ("reboot", {"in": {"minutes": 5}}, {"in": {"minutes": 5}}),
    ],
)
async def test_free_commands_are_sent_as_given(world: ContractApi, op: str, given: Any, data: Any, slash: str) -> None:
    sent = await world.post(f"/api/vens/home/commands{slash}", {"op": op, "data": given}, 202)
    payload = await payload_of(world, sent)
    assert payload.get("data") == data
    assert payload.keys() - {"data"} == {"op", "correlationId", "venId"}


@pytest.mark.parametrize("names", [("durationS", "eventId"), ("duration_s", "event_id")])
async def test_shed_panel_has_both_spellings(world: ContractApi, names: tuple[str, str]) -> None:
    event_id = f"evt-{names[0]}"
    given = {"requestedReductionKw": 1.5, names[0]: 600, names[1]: event_id}
    sent = await world.post("/api/vens/home/commands", {"op": "shedPanel", "data": given}, 202)
    assert (await payload_of(world, sent))["data"] == {
        "requestedReductionKw": 1.5,
        "durationS": 600,
        "eventId": event_id,
        "duration_s": 600,
        "event_id": event_id,
    }


async def test_free_event_and_restore_commands_follow_the_contract(world: ContractApi) -> None:
    sent = await world.post("/api/vens/home/commands", {"op": "restore", "data": {"event_id": "evt-7"}}, 202)
    payload = await payload_of(world, sent)
    assert sent["correlationId"].startswith("restore-evt-7-")
    assert (payload["event_id"], payload["data"]) == ("evt-7", {"event_id": "evt-7"})
    assert "data" not in await payload_of(world, await world.post("/api/vens/home/commands", {"op": "restore"}, 202))
    event = {"op": "event", "data": {"shedKw": 1, "durationS": 60, "eventId": "evt-8"}}
    payload = await payload_of(world, await world.post("/api/vens/home/commands", event, 202))
    assert payload["duration_sec"] == payload["data"]["duration_s"] == 60
    assert payload["shed_kw"] == payload["data"]["requestedReductionKw"] == 1.0


COMMANDS = [
    ("loads/hvac/commands/shed", {"amountKw": 1}),
    ("send-event", {"shedKw": 1, "durationS": 60}),
    ("commands", {"op": "shedPanel", "data": {"requestedReductionKw": 1, "durationS": 60}}),
]


@pytest.mark.parametrize(("path", "body"), [*COMMANDS, ("commands", {"op": "ping"})])
async def test_a_command_to_an_unknown_ven_is_a_404(world: ContractApi, path: str, body: Any) -> None:
    assert_problem(await world.client.post(f"/api/vens/nobody/{path}", json=body), 404)
    assert_problem(await world.client.post("/api/vens/home/loads/none/commands/shed", json={"amountKw": 1}), 404)


@pytest.mark.parametrize(("path", "body"), COMMANDS)
async def test_a_disabled_ven_gets_queries_but_no_shed(world: ContractApi, path: str, body: Any) -> None:
    now = datetime.now(UTC)
    await world.store.readings.store([reading("dis", timestamp=now, received_at=now, loads=(HVAC,))])
    await world.client.patch("/api/vens/dis", json={"status": "disabled"})
    assert_problem(await world.client.post(f"/api/vens/dis/{path}", json=body), 409)
    for op in ("ping", "restore"):
        await world.post("/api/vens/dis/commands", {"op": op}, 202)


BAD_POWERS = [0, -1, "1", True, None, 1e10, [], {}, 10**400]
BAD_DURATIONS = [0, -1, 0.5, "60", True, 604_801, [], 10**400]


@pytest.mark.parametrize("bad", BAD_POWERS, ids=lambda bad: str(bad)[:8])
async def test_impossible_power_is_a_422(world: ContractApi, bad: Any) -> None:
    await refused(world, "loads/hvac/commands/shed", {"amountKw": bad})
    await refused(world, "send-event", {"shedKw": bad, "durationS": 60})
    for op in ("shedPanel", "event"):
        await refused(world, "commands", {"op": op, "data": {"requestedReductionKw": bad, "durationS": 60}})
    await refused(world, "commands", {"op": "shedLoad", "data": {"loadId": "hvac", "reduceKw": bad}})


@pytest.mark.parametrize("bad", BAD_DURATIONS, ids=lambda bad: str(bad)[:8])
async def test_a_bad_or_missing_duration_is_a_422(world: ContractApi, bad: Any) -> None:
    await refused(world, "loads/hvac/commands/shed", {"amountKw": 1, "durationS": bad})
    for given in (bad, None):
        await refused(world, "send-event", {"shedKw": 1, "durationS": given})
        for name in ("durationS", "duration_s", "duration_sec"):
            data = {"requestedReductionKw": 1, name: given}
            await refused(world, "commands", {"op": "shedPanel", "data": data})
            await refused(world, "commands", {"op": "event", "data": data})
    for name in ("durationS", "duration_s"):
        await refused(world, "commands", {"op": "hold", "data": {name: 0}})
        await refused(world, "commands", {"op": "hold", "data": {name: None}})
    await refused(world, "send-event", {"shedKw": 1})
    await refused(world, "commands", {"op": "event", "data": {"shedKw": 1}})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"op": ""},
        {"op": 5},
        {"op": "a b"},
        {"op": "x" * 65},
        {"op": "ping\n"},
        {"op": "ping", "data": []},
        {"op": "get"},
        {"op": "get", "data": {"what": "everything"}},
        {"op": "setLoad", "data": {"enabled": True}},
        {"op": "setConfig", "data": {"target_power_kw": -1}},
        {"op": "setConfig", "data": {"report_interval_seconds": 0}},
        {"op": "x", "data": {"a": "b\0c"}},
        {"op": "x", "data": {"a\0": 1}},
        {"op": "x", "data": {"a": [10**400]}},
        {"op": "send-event", "data": {"a": "x" * 140_000}},
        {"op": "restore", "data": {"eventId": "a\nb"}},
        {"op": "restore", "data": {"eventId": "x" * 129}},
    ],
    ids=lambda body: str(body)[:60],
)
async def test_an_invalid_command_is_a_422(world: ContractApi, body: Any) -> None:
    await refused(world, "commands", body)


async def refused(world: ContractApi, path: str, body: Any) -> None:
    before = await world.rows("SELECT count(*) AS n FROM commands")
    assert_problem(await world.client.post(f"/api/vens/home/{path}", json=body), 422)
    assert await world.rows("SELECT count(*) AS n FROM commands") == before


async def test_a_ven_is_busy_until_its_events_end_is_decided(world: ContractApi) -> None:
    """Its restore would end what it is told in between."""
    await world.new_ven("ending")
    await told_by_the_gateway(world, "ending", "evt-ending", ends="now() - interval '1 second'")
    await world.rows(
        "INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, started_at) "
        "SELECT 'evt-ending', ends_at - interval '1 hour', ends_at, 1, ends_at - interval '1 hour' "
        "FROM commands WHERE event_id = 'evt-ending'"
    )
    event = {"shedKw": 5.0, "durationS": 60, "eventId": "evt-next"}
    assert_problem(await world.client.post("/api/vens/ending/send-event", json=event), 409)
    await world.rows("UPDATE events SET closed_at = now() WHERE event_id = 'evt-ending'")
    await world.post("/api/vens/ending/send-event", event, 202)


async def test_an_operators_shed_survives_deletion_of_the_ven(world: ContractApi) -> None:
    await world.new_ven("back")
    await world.post("/api/vens/back/send-event", {"shedKw": 5.0, "durationS": 600, "eventId": "evt-own"}, 202)
    assert (await world.client.delete("/api/vens/back")).status_code == 204
    now = datetime.now(UTC)
    await world.store.readings.store([reading("back", timestamp=now, received_at=now)])
    again = {"shedKw": 5.0, "durationS": 600, "eventId": "evt-own"}
    assert_problem(await world.client.post("/api/vens/back/send-event", json=again), 409)
    await world.rows("UPDATE commands SET ends_at = now() WHERE ven_id = 'back'")
    async with asyncpg.create_pool(**connect_options(world.database, "test"), min_size=1, max_size=1) as pool:
        for removal in await fetch_pending(pool):
            await ven_erasure.erase(pool, *removal)
    assert await world.rows("SELECT FROM commands WHERE ven_id = 'back'") == []
    assert await world.rows("SELECT FROM ven_removals WHERE ven_id = 'back'") == []
