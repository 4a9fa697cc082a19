"""The figures of DR events, as the contract defines them: never a sum over samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.queries.acks import fetch_answers
from api.queries.event_sheds import mean_sheds, reductions_now, sheds_now, vens_that_shed
from api.queries.events import keep_figure
from runtime.database import Pool

_SLACK = timedelta(days=7)
"""How far the clocks of devices may be off when acknowledgements of an event are looked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one VEN answered to the commands of an event."""

    accepted: bool
    refused: bool
    restored: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """How an event goes, or went. Power in kW, by VEN id; times in ms."""

    actual_kw: float
    current_kw: float
    sheds: dict[str, float]
    responding: frozenset[str]
    answers: dict[str, Answer]
    response_ms: tuple[float, ...]


def acks_interval(event: Any) -> tuple[datetime, datetime]:
    """Return where acknowledgements of an event are looked for: days without any need not be."""
    return (
        min(event["created_at"], event["start_time"]) - _SLACK,
        max(event["created_at"], event["over_at"]) + _SLACK,
    )


async def figure(pool: Pool, event: Any) -> Figures:
    """Work out all figures of an event."""
    answers = await fetch_answers(pool, event["event_id"], acks_interval(event))
    accepted = {row["ven_id"] for row in answers if row["accepted"]}
    shedding: set[str] = set()
    sheds: dict[str, float] = {}
    if event["status"] == "active":
        sheds = await sheds_now(pool, event["event_id"])
        shedding = {ven_id for ven_id, power in sheds.items() if power > 0}
    elif event["status"] == "completed":
        interval = (event["start_time"], event["over_at"])
        reported = await vens_that_shed(pool, event["event_id"], *interval)
        shedding = {ven_id for ven_id, shed in reported.items() if shed}
        sheds = await mean_sheds(pool, event["event_id"], list(reported), *interval)
    total = sum(sheds.values())
    if event["status"] == "completed" and event["is_final"]:
        total = event["actual_reduction_kw"]
    return Figures(
        actual_kw=total,
        current_kw=total if event["status"] == "active" else 0.0,
        sheds=sheds,
        responding=frozenset(accepted | shedding),
        answers={
            row["ven_id"]: Answer(bool(row["accepted"]), bool(row["refused"]), bool(row["restored"])) for row in answers
        },
        response_ms=tuple(row["ms"] for row in answers if row["ms"] is not None),
    )


async def actual_reductions(pool: Pool, events: Sequence[Any]) -> dict[str, float]:
    """Return what each event comes to: now while it is active, on average when completed, else 0."""
    active = [event["event_id"] for event in events if event["status"] == "active"]
    found = await reductions_now(pool, active) if active else {}
    for event in events:
        if event["status"] == "completed":
            found[event["event_id"]] = await _over_its_time(pool, event)
    return found


async def _over_its_time(pool: Pool, event: Any) -> float:
    if event["is_final"]:
        return float(event["actual_reduction_kw"])
    interval = (event["start_time"], event["over_at"])
    reported = await vens_that_shed(pool, event["event_id"], *interval)
    means = await mean_sheds(pool, event["event_id"], list(reported), *interval)
    total = sum(means.values())
    await keep_figure(pool, event["event_id"], total)
    return total
