"""The whole way of a command, and the list of a VEN's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.conftest import ContractApi
from tests.support.command_rows import tell
from tests.support.rest import assert_problem
from tests.support.servers import connection


def z(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


NOTHING_YET = dict.fromkeys(
    (
        "loggedAt",
        "sendingAt",
        "sentAt",
        "ackedAt",
        "ackStatus",
        "reportedAt",
        "shedAt",
        "expiredAt",
        "unansweredAt",
        "lostAt",
    )
)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_command_shows_all_steps_to_the_shed(world: ContractApi, slash: str) -> None:
    decided = datetime.now(UTC) - timedelta(minutes=5)
    ends = decided + timedelta(hours=1)
    async with connection(world.database) as rows:
        correlation_id = await tell(
            rows,
            f"evt-way{len(slash)}",
            "way",
            decided_at=decided,
            ends_at=ends,
            logged_at=1,
            sending_at=2,
            sent_at=3,
            reported_at=6,
            shed_at=7,
        )
    at = {
        name: z(decided + timedelta(seconds=second))
        for second, name in enumerate(["decided", "logged", "sending", "sent"])
    }
    path = f"/api/commands/{correlation_id}{slash}"
    whole = await world.get(path)
    assert whole == {
        **NOTHING_YET,
        "correlationId": correlation_id,
        "venId": "way",
        "op": "event",
        "eventId": f"evt-way{len(slash)}",
        "phase": "event",
        "commandRevision": 1,
        "attempt": 1,
        "state": "sent",
        "payload": {
            "op": "event",
            "correlationId": correlation_id,
            "venId": "way",
            "event_id": f"evt-way{len(slash)}",
        },
        **{f"{name}At": moment for name, moment in at.items()},
        "reportedAt": z(decided + timedelta(seconds=6)),
        "shedAt": z(decided + timedelta(seconds=7)),
        "expiresAt": z(ends),
        "endsAt": z(ends),
        "ackCount": 0,
        "acks": [],
    }
    # It counts as unanswered, and then answers after all, twice.
    await world.rows(
        "UPDATE commands SET unanswered_at = $2 WHERE correlation_id = $1",
        correlation_id,
        decided + timedelta(minutes=1),
    )
    assert (await world.get(path))["state"] == "unanswered"
    first = await world.answer("way", timedelta(seconds=-5), status="accepted", correlation_id=correlation_id)
    await world.answer("way", status="accepted", correlation_id=correlation_id)
    await world.answer("thief", status="accepted", correlation_id=correlation_id)
    answered = await world.get(path)
    assert (answered["state"], answered["ackedAt"], answered["ackStatus"]) == (
        "acknowledged",
        z(first.received_at),
        "accepted",
    )
    assert (answered["ackCount"], [ack["late"] for ack in answered["acks"]]) == (2, [True, True])
    assert answered["acks"][1]["receivedAt"] == z(first.received_at)
    assert answered["acks"][0]["timestamp"] > answered["acks"][1]["timestamp"]


@pytest.mark.parametrize(
    ("said", "state", "late"),
    [
        ([(1, "accepted")], "acknowledged", [False]),
        ([(1, "rejected")], "refused", [False]),
        ([(1, "rejected"), (2, "accepted")], "acknowledged", [False, False]),
        ([(1, "accepted"), (90, "rejected")], "acknowledged", [True, False]),
    ],
)
async def test_repeated_and_late_acks_are_distinguished(
    world: ContractApi, said: list[tuple[float, str]], state: str, late: list[bool]
) -> None:
    decided = datetime.now(UTC) - timedelta(minutes=5)
    number = f"evt-{len(await world.rows('SELECT FROM commands'))}"
    async with connection(world.database) as rows:
        correlation_id = await tell(rows, number, "repeats", decided_at=decided, sent_at=0, unanswered_at=60)
    for second, status in said:
        at = decided + timedelta(seconds=second)
        await world.answer("repeats", at=at, status=status, correlation_id=correlation_id)
    whole = await world.get(f"/api/commands/{correlation_id}")
    assert (whole["state"], whole["ackCount"], [ack["late"] for ack in whole["acks"]]) == (state, len(said), late)


async def test_an_operators_command_has_a_history(world: ContractApi) -> None:
    await world.new_ven("operated")
    body = {"shedKw": 1, "durationS": 60, "eventId": "a/b"}  # a slash in the id is a slash in the path
    sent = await world.post("/api/vens/operated/send-event", body, 202)
    whole = await world.get(f"/api/commands/{sent['correlationId']}")
    assert (whole["state"], whole["phase"], whole["eventId"]) == ("decided", None, "a/b")
    assert whole["payload"]["duration_sec"] == 60
    assert {name: whole[name] for name in NOTHING_YET} == NOTHING_YET
    assert datetime.fromisoformat(whole["endsAt"]) - datetime.fromisoformat(whole["decidedAt"]) == timedelta(minutes=1)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_commands_of_a_ven_are_paged_newest_first(world: ContractApi, slash: str) -> None:
    ven_id = f"pages{len(slash)}"
    await world.new_ven(ven_id)
    sent = [await world.post(f"/api/vens/{ven_id}/commands", {"op": "ping"}, 202) for _ in range(5)]
    # Those of one moment have an order, too.
    await world.rows("UPDATE commands SET created_at = now() WHERE ven_id = $1", ven_id)
    await world.answer(ven_id, op="ping", status="success", correlation_id=sent[0]["correlationId"])
    newest_first = [each["correlationId"] for each in reversed(sent)]
    path, seen = f"/api/vens/{ven_id}/commands{slash}?limit=2", list[Any]()
    while path:
        answer = await world.client.get(path)
        assert answer.status_code == 200
        seen += answer.json()
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""
    assert [each["correlationId"] for each in seen] == newest_first
    assert [each["state"] for each in seen] == ["decided"] * 4 + ["acknowledged"]
    whole = await world.get(f"/api/commands/{newest_first[-1]}")
    assert whole == {**seen[-1], "ackCount": 1, "acks": whole["acks"]}
    assert await world.get(f"/api/vens/{ven_id}/commands", cursor="nothing such") == []


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_unknown_id_is_a_404(world: ContractApi, slash: str) -> None:
    for path in ("/api/commands/nothing", "/api/vens/nobody/commands"):
        assert_problem(await world.client.get(path + slash), 404)
    await world.new_ven(f"quiet{len(slash)}")
    assert await world.get(f"/api/vens/quiet{len(slash)}/commands{slash}") == []
    for query in ({"limit": 0}, {"limit": 1001}, {"cursor": "\0"}):
        assert_problem(await world.client.get(f"/api/vens/quiet{len(slash)}/commands", params=query), 422)
