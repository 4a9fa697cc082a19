"""How DR events perform, as the contract defines it: sums over VENs and averages over time, never sums over samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from api.queries.event_progress import fetch_event_progress, fetch_event_totals
from api.queries.event_reduction import (
    Delivered,
    delivered,
    has_energies,
    reductions_now,
    reporting_vens,
    vens_to_settle,
)
from runtime.database import Pool


@dataclass(frozen=True, slots=True)
class EventPerformance:
    """How an event performs, or performed. Power in kW; `delivered_kwh` and `covered_share` are None until it is over.

    `totals` is the row of `event_progress`.
    """

    actual_kw: float
    current_kw: float
    delivered_kwh: float | None
    covered_share: float | None
    totals: asyncpg.Record


async def event_performance(pool: Pool, event: Any, hold_seconds: float) -> EventPerformance:
    """Return how an event performs; `hold_seconds` is ENERGY_HOLD_SECONDS."""
    totals = await fetch_event_totals(pool, event["event_id"], await _computed(pool, event, hold_seconds), hold_seconds)
    return _performance(event, totals)


async def event_performance_with_vens(
    pool: Pool, event: Any, hold_seconds: float
) -> tuple[EventPerformance, list[asyncpg.Record]]:
    """Return how an event performs, and the rows of its VENs, ordered by id."""
    progress = await fetch_event_progress(
        pool, event["event_id"], await _computed(pool, event, hold_seconds), hold_seconds
    )
    return _performance(event, progress.totals), progress.vens


async def actual_reductions(pool: Pool, events: Sequence[Any], hold_seconds: float) -> dict[str, float]:
    """Return the actual reduction of each event in kW: now while it is active, on average when completed, else 0."""
    active = [event["event_id"] for event in events if event["status"] == "active"]
    found = await reductions_now(pool, active, hold_seconds) if active else {}
    for event in events:
        if event["status"] != "completed":
            continue
        if event["is_settled"]:
            found[event["event_id"]] = event["actual_reduction_kw"]
            continue
        hours, interval = _hours(event), (event["start_time"], event["over_at"])
        # A VEN that reported nothing adds nothing.
        ven_ids = await reporting_vens(pool, event["event_id"], *interval)
        energies = await delivered(pool, event["event_id"], ven_ids, interval, hold_seconds)
        found[event["event_id"]] = sum(each.energy_kwh for each in energies.values()) / hours if hours > 0 else 0.0
    return found


def _performance(event: Any, totals: asyncpg.Record) -> EventPerformance:
    status, hours = event["status"], _hours(event)
    settled = status == "completed" and event["is_settled"]
    actual = event["actual_reduction_kw"] if settled else totals["shed_kw"]
    covered = totals["covered_seconds"]
    return EventPerformance(
        actual_kw=actual,
        current_kw=actual if status == "active" else 0.0,
        delivered_kwh=actual * hours if status == "completed" else None,
        covered_share=None if covered is None else covered / 3600 / hours,
        totals=totals,
    )


async def _computed(pool: Pool, event: Any, hold_seconds: float) -> dict[str, Delivered]:
    """What the VENs delivered, where the event is completed and the settlement has stored nothing of them yet."""
    if event["status"] != "completed" or (event["is_settled"] and await has_energies(pool, event["event_id"])):
        return {}
    interval = (event["start_time"], event["over_at"])
    ven_ids = await vens_to_settle(pool, event["event_id"], *interval)
    return await delivered(pool, event["event_id"], ven_ids, interval, hold_seconds)


def _hours(event: Any) -> float:
    hours: float = (event["over_at"] - event["start_time"]) / timedelta(hours=1)
    return hours
