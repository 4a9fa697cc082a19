"""The figures of an event in the feed are those of REST, whatever steps its commands went."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.rest.events import Funnel
from tests.contract.conftest import ContractApi
from tests.support.feed import feed

TIMES = ("logged_at", "sending_at", "sent_at", "expired_at", "acked_at", "unanswered_at", "reported_at", "shed_at")
INSERT_EVENT = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, started_at, ven_ids, ended_at, closed_at,
                    settled_at, actual_reduction_kw)
VALUES ($1, $2, $3, 100, now(), $4, $5, $5, $5, $6)
"""
INSERT_VEN = """
INSERT INTO event_vens (event_id, ven_id, share_kw, reason, energy_kwh, covered_seconds) VALUES ($1, $2, 1, $3, $4, $5)
"""
INSERT_STATUS = """
INSERT INTO ven_status (ven_id, received_at, reading_received_at, event_id, shed_power_kw) VALUES ($1, $2, $2, $3, $4)
"""
SAME = (
    "status",
    "actualReductionKw",
    "currentReductionKw",
    "vensResponding",
    "responses",
    "avgResponseMs",
    "responseMs",
)


def steps(chance: random.Random, decided: datetime) -> dict[str, Any]:
    """Any steps in any order, as evidence comes."""
    found: dict[str, Any] = {
        name: decided + timedelta(milliseconds=chance.randrange(1, 9000)) for name in TIMES if chance.random() < 0.4
    }
    if "acked_at" in found:
        found["ack_status"] = chance.choice(["accepted", "success", "rejected", "failed"])
    if "reported_at" in found and chance.random() < 0.3:
        found["lost_at"] = decided + timedelta(seconds=10)
    return found


async def command(world: ContractApi, chance: random.Random, event_id: str, ven_id: str, op: str, number: int) -> None:
    decided = datetime.now(UTC) - timedelta(seconds=30)
    values = {
        "correlation_id": f"{event_id}-{ven_id}-{op}-{number}",
        "ven_id": ven_id,
        "event_id": event_id,
        "op": op,
        "payload": "{}",
        "created_at": decided,
        # Sometimes an operator's beside the gateway's own.
        "phase": op if number == 0 else None,
        **steps(chance, decided),
    }
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await world.rows(f"INSERT INTO commands ({', '.join(values)}) VALUES ({places})", *values.values())  # noqa: S608


@pytest.mark.parametrize("status", ["active", "completed"])
@pytest.mark.parametrize("seed", range(4))
async def test_the_feed_and_rest_show_the_same_values(world: ContractApi, seed: int, status: str) -> None:
    chance = random.Random(seed)
    now = datetime.now(UTC)
    over = None if status == "active" else now - timedelta(seconds=5)
    event_id = f"evt-feed-{status}-{seed}"
    vens = [f"{event_id}-ven-{number}" for number in range(60)]
    for ven_id in vens:
        if chance.random() < 0.7:
            reason = chance.choice(["proportional", "equal", "reported", "busy with evt-9"])
            energy = chance.choice([0.0, 0.5, 1.25]) if over else None
            await world.rows(INSERT_VEN, event_id, ven_id, reason, energy, None if over is None else 60.0)
        for op in ("event", "restore"):
            for number in range(chance.choice([0, 1, 1, 2])):
                await command(world, chance, event_id, ven_id, op, number)
        if not over and chance.random() < 0.5:
            await world.rows(INSERT_STATUS, ven_id, now, event_id, chance.choice([None, 0.0, 1.5, 2.25]))
    settled = await world.rows("SELECT sum(energy_kwh) AS kwh FROM event_vens WHERE event_id = $1", event_id)
    actual = None if over is None else settled[0]["kwh"] / ((over - now) / timedelta(hours=1) + 1)
    await world.rows(
        INSERT_EVENT, event_id, now - timedelta(hours=1), now + timedelta(hours=1), vens[:20], over, actual
    )
    shown = await world.get(f"/api/events/{event_id}")
    async with feed(world.client, types="event", eventId=event_id) as follower:
        told = (await follower.next()).data
    assert told["funnel"] == shown["funnel"]
    assert set(told["funnel"]) == set(Funnel(**dict.fromkeys(Funnel.model_fields, 0)).model_dump())
    assert {name: told[name] for name in SAME} == {name: pytest.approx(shown[name]) for name in SAME}
