"""How far each VEN got in an event, and how many got how far."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.conftest import ContractApi
from tests.contract.test_event_performance import says
from tests.contract.test_events import FUNNEL, HOUR, event
from tests.support.command_rows import choose, tell
from tests.support.servers import connection

LOGGED: dict[str, Any] = {"logged_at": 0.1}
SENT: dict[str, Any] = {**LOGGED, "sending_at": 0.2, "sent_at": 0.3}
ACCEPTED: dict[str, Any] = {**SENT, "acked_at": 1.5, "ack_status": "accepted"}

# What is known of each VEN's command, and what is shown of it.
TOLD: dict[str, tuple[dict[str, Any], str]] = {
    "a-decided": ({}, "targeted"),
    "b-logged": (LOGGED, "targeted"),
    "c-expired": ({**LOGGED, "expired_at": 9}, "expired"),
    "d-sending": ({**LOGGED, "sending_at": 1}, "targeted"),
    "e-sent": (SENT, "sent"),
    "f-unanswered": ({**SENT, "unanswered_at": 60}, "unanswered"),
    "g-accepted": (ACCEPTED, "accepted"),
    "h-refused": ({**ACCEPTED, "acked_at": 2.5, "ack_status": "rejected"}, "refused"),
    "i-sheds": ({**ACCEPTED, "reported_at": 5, "shed_at": 5}, "shedding"),
    "j-lost": ({**ACCEPTED, "reported_at": 5, "lost_at": 50}, "lost"),
    "k-silent": ({**SENT, "unanswered_at": 60, "reported_at": 5, "shed_at": 5}, "shedding"),
}


async def active_event(world: ContractApi) -> tuple[str, datetime]:
    event_id = (await world.post("/api/events", event(-HOUR / 2)))["id"]
    start = datetime.now(UTC) - HOUR / 2
    await world.rows("UPDATE events SET started_at = $2 WHERE event_id = $1", event_id, start)
    return event_id, start


@pytest.mark.parametrize("slash", ["", "/"])
async def test_each_ven_shows_its_last_step(world: ContractApi, slash: str) -> None:
    event_id, start = await active_event(world)
    async with connection(world.database) as rows:
        for ven_id, (known, _) in TOLD.items():
            await choose(rows, event_id, ven_id, 2.0, "proportional", capability_kw=3.0, late=ven_id.startswith("k"))
            await tell(rows, event_id, ven_id, decided_at=start, **known)
        await choose(rows, event_id, "l-busy", None, "busy with evt-other", capability_kw=1.0)
    now = datetime.now(UTC)
    for ven_id, kw in (("i-sheds", 1.5), ("k-silent", 2.5), ("m-by-itself", 4.0)):
        await says(world, ven_id, now, kw, event_id)
    detail = await world.get(f"/api/events/{event_id}{slash}")
    assert [(ven["venId"], ven["status"]) for ven in detail["vens"]] == [
        *((ven_id, status) for ven_id, (_, status) in TOLD.items()),
        ("l-busy", "targeted"),
        ("m-by-itself", "shedding"),
    ]
    assert detail["vens"][8] == {
        "venId": "i-sheds",
        "venName": "Auto-registered VEN i-sheds",
        "shedKw": 1.5,
        "status": "shedding",
        "shareKw": 2.0,
        "capabilityKw": 3.0,
        "reason": "proportional",
        "late": False,
        "deliveredKwh": None,
        "correlationId": f"event-{event_id}-i-sheds-1",
        "ackedAfterMs": 1500,
    }
    assert [(ven["reason"], ven["late"]) for ven in detail["vens"][10:]] == [
        ("proportional", True),
        ("busy with evt-other", False),
        (None, False),
    ]
    assert detail["funnel"] == {
        "targeted": 12,
        "logged": 10,
        "sent": 7,
        "acknowledged": 3,
        "refused": 1,
        "expired": 1,
        "unanswered": 2,
        "lost": 1,
        "shedding": 3,
        "restored": 0,
    }
    assert (detail["responseMs"], detail["responses"], detail["avgResponseMs"]) == ({"p50": 1500, "p95": 2500}, 4, 1750)
    assert (detail["vensResponding"], detail["currentReductionKw"]) == (5, 8.0)
    assert (detail["missed"], detail["deliveredKwh"], detail["coveredShare"]) == (False, None, None)
    assert datetime.fromisoformat(detail["startedAt"]) == start


async def test_a_completed_event_shows_energy_and_coverage(world: ContractApi) -> None:
    body = event(-2 * HOUR)
    event_id, start = (await world.post("/api/events", body))["id"], datetime.fromisoformat(body["startTime"])
    end = start + HOUR
    async with connection(world.database) as rows:
        for ven_id in ("whole", "half", "mute", "gone"):
            await choose(rows, event_id, ven_id, 2.0)
            await tell(rows, event_id, ven_id, decided_at=start, **ACCEPTED, ends_at=end)
            if ven_id != "mute":
                answered: dict[str, Any] = {**SENT, "acked_at": 1, "ack_status": "success"}
                await tell(rows, event_id, ven_id, phase="restore", decided_at=end, **answered)
        await choose(rows, event_id, "busy", None, "busy with evt-other")
        # It was lost, and told once more; and sheds until it is lost again.
        await tell(rows, event_id, "twice", decided_at=start, **ACCEPTED, lost_at=60)
        await tell(
            rows, event_id, "twice", command_revision=2, decided_at=start + timedelta(minutes=2), **SENT, lost_at=600
        )
        await choose(rows, event_id, "twice", 2.0)
    for minute in range(60):
        at = start + timedelta(minutes=minute)
        await says(world, "whole", at, 2.0, event_id)
        if minute < 30:
            await says(world, "half", at, 3.0, event_id)
    await says(world, "half", start + HOUR / 2, 0.0, None)
    await says(world, "twice", start, 1.0, event_id)
    await says(world, "twice", start + HOUR / 4, 0.0, None)
    detail = await world.get(f"/api/events/{event_id}")
    shown = {
        ven["venId"]: (
            ven["status"],
            ven["deliveredKwh"],
            ven["shedKw"],
            ven["correlationId"][-1] if ven["correlationId"] else None,
        )
        for ven in detail["vens"]
    }
    assert shown == {
        "whole": ("restored", pytest.approx(2.0), pytest.approx(2.0), "1"),
        "half": ("restored", pytest.approx(1.5), pytest.approx(1.5), "1"),
        "mute": ("accepted", 0.0, 0.0, "1"),
        "gone": ("restored", 0.0, 0.0, "1"),
        "busy": ("targeted", 0.0, 0.0, None),
        "twice": ("lost", pytest.approx(0.25), pytest.approx(0.25), "2"),
    }
    assert detail["deliveredKwh"] == detail["actualReductionKw"] == pytest.approx(3.75)
    # A sample holds for an hour: 60, 60, 0, 0 and 60 minutes of 60; who was busy takes no part.
    assert detail["coveredShare"] == pytest.approx((60 + 60 + 60) / 60 / 5)
    assert detail["funnel"] == {
        **dict.fromkeys(FUNNEL, 0),
        "targeted": 6,
        "logged": 5,
        "sent": 5,
        "acknowledged": 4,
        "lost": 1,
        "shedding": 3,
        "restored": 3,
    }


async def test_a_missed_event_is_marked(world: ContractApi) -> None:
    event_id = (await world.post("/api/events", event(-2 * HOUR)))["id"]
    await world.rows("UPDATE events SET missed = true WHERE event_id = $1", event_id)
    detail = await world.get(f"/api/events/{event_id}")
    assert (detail["missed"], detail["startedAt"], detail["deliveredKwh"]) == (True, None, 0.0)


async def test_the_dispatchers_command_takes_precedence(world: ContractApi) -> None:
    event_id, start = await active_event(world)
    await world.new_ven("both")
    async with connection(world.database) as rows:
        await tell(rows, event_id, "both", decided_at=start, **ACCEPTED, ends_at=start + timedelta(minutes=1))
    await world.post("/api/vens/both/send-event", {"shedKw": 1, "durationS": 60, "eventId": event_id}, 202)
    (ven,) = (await world.get(f"/api/events/{event_id}"))["vens"]
    assert (ven["status"], ven["correlationId"]) == ("accepted", f"event-{event_id}-both-1")
    # Restored by an operator, it is restored.
    restore = await world.post("/api/vens/both/commands", {"op": "restore"}, 202)
    assert restore["eventId"] == event_id
    await world.answer("both", op="restore", status="success", correlation_id=restore["correlationId"])
    detail = await world.get(f"/api/events/{event_id}")
    assert (detail["vens"][0]["status"], detail["funnel"]["restored"]) == ("restored", 1)


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([], None, None), ([7.4], 7, 7), ([1, 2], 1, 2), ([1, 2, 3], 2, 3), (list(range(1, 101)), 50, 95)],
)
async def test_percentiles_are_observed_values(
    world: ContractApi, values: list[float], p50: int | None, p95: int | None
) -> None:
    event_id, start = await active_event(world)
    async with connection(world.database) as rows:
        for number, milliseconds in enumerate(values):
            known = {**SENT, "acked_at": milliseconds / 1000, "ack_status": "accepted"}
            await tell(rows, event_id, f"percentile-{number}", decided_at=start, **known)
    detail = await world.get(f"/api/events/{event_id}")
    assert detail["responseMs"] == {"p50": p50, "p95": p95}
