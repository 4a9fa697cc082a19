"""The figures of DR events, as the contract defines them: never a sum over samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from api.queries.acks import fetch_claims
from api.queries.event_reduction import Delivered, delivered, reductions_now, sheds_now, vens_that_reported
from api.queries.event_vens import fetch_chosen, fetch_told
from api.services.event_progress import Evidence, Progress
from runtime.database import Pool

_SLACK = timedelta(days=7)
"""How far the clocks of devices may be off when acknowledgements of an event are looked for."""


@dataclass(frozen=True, slots=True)
class EventPerformance:
    """How an event goes, or went. Power in kW, by VEN id; what is delivered is None until the event is over.

    `vens` are all that were named, chosen, told, or have spoken of it, ordered by id.
    """

    actual_kw: float
    current_kw: float
    delivered_kwh: float | None
    covered_share: float | None
    sheds: Mapping[str, float]
    delivered: Mapping[str, Delivered]
    chosen: Mapping[str, Any]
    vens: Mapping[str, Progress]

    @property
    def responding(self) -> int:
        """How many accepted the event, or shed for it."""
        return sum(ven.accepted or ven.sheds for ven in self.vens.values())

    @property
    def response_ms(self) -> list[float]:
        """How long after the command each VEN that was told answered first, ascending."""
        return sorted(ven.response_ms for ven in self.vens.values() if ven.response_ms is not None)


def acks_interval(event: Any) -> tuple[datetime, datetime]:
    """Return where acknowledgements of an event are looked for: days without any need not be."""
    return (
        min(event["created_at"], event["start_time"]) - _SLACK,
        max(event["created_at"], event["over_at"]) + _SLACK,
    )


async def figure(pool: Pool, event: Any, hold_seconds: float) -> EventPerformance:
    """Work out all figures of an event; a sample covers `hold_seconds` of it at most."""
    event_id, status = event["event_id"], event["status"]
    chosen = await fetch_chosen(pool, event_id)
    evidence = Evidence.of(await fetch_told(pool, event_id), await fetch_claims(pool, event_id, acks_interval(event)))
    hours = (event["over_at"] - event["start_time"]) / timedelta(hours=1)
    over: dict[str, Delivered] = {}
    sheds: dict[str, float] = {}
    if status == "active":
        sheds = await sheds_now(pool, event_id)
    elif status == "completed" and hours > 0:
        over = await _over_its_time(pool, event, chosen, hold_seconds)
        sheds = {ven_id: each.energy_kwh / hours for ven_id, each in over.items()}
    actual = sum(sheds.values())
    if status == "completed" and event["is_settled"]:
        actual = event["actual_reduction_kw"]
    named = frozenset(event["ven_ids"] or ())
    return EventPerformance(
        actual_kw=actual,
        current_kw=actual if status == "active" else 0.0,
        delivered_kwh=actual * hours if status == "completed" else None,
        covered_share=_covered_share(over, chosen, hours),
        sheds=sheds,
        delivered=over,
        chosen=chosen,
        vens={
            ven_id: evidence.progress(
                ven_id,
                chosen.get(ven_id),
                named=ven_id in named,
                sheds=sheds.get(ven_id, 0.0) > 0,
                over=status == "completed",
            )
            for ven_id in sorted({*named, *chosen, *evidence.ven_ids, *sheds})
        },
    )


async def actual_reductions(pool: Pool, events: Sequence[Any], hold_seconds: float) -> dict[str, float]:
    """Return what each event comes to: now while it is active, on average when completed, else 0."""
    active = [event["event_id"] for event in events if event["status"] == "active"]
    found = await reductions_now(pool, active) if active else {}
    for event in events:
        if event["status"] != "completed":
            continue
        if event["is_settled"]:
            found[event["event_id"]] = event["actual_reduction_kw"]
            continue
        hours = (event["over_at"] - event["start_time"]) / timedelta(hours=1)
        over = await _compute(pool, event, (), hold_seconds)
        found[event["event_id"]] = sum(each.energy_kwh for each in over.values()) / hours if hours > 0 else 0.0
    return found


async def _over_its_time(
    pool: Pool, event: Any, chosen: Mapping[str, Any], hold_seconds: float
) -> dict[str, Delivered]:
    """As it was settled, else as the samples tell now."""
    if event["is_settled"]:
        settled = {
            ven_id: Delivered(row["energy_kwh"], row["covered_seconds"])
            for ven_id, row in chosen.items()
            if row["energy_kwh"] is not None
        }
        if settled:
            return settled
    return await _compute(pool, event, chosen, hold_seconds)


async def _compute(
    pool: Pool, event: Any, chosen: Sequence[str] | Mapping[str, Any], hold_seconds: float
) -> dict[str, Delivered]:
    interval = (event["start_time"], event["over_at"])
    reported = await vens_that_reported(pool, event["event_id"], *interval)
    return await delivered(pool, event["event_id"], sorted({*chosen, *reported}), interval, hold_seconds)


def _covered_share(over: Mapping[str, Delivered], chosen: Mapping[str, Any], hours: float) -> float | None:
    """On average over the VENs that have a share; where none has, over those that reported."""
    taking_part = [ven_id for ven_id in over if ven_id in chosen and chosen[ven_id]["share_kw"] is not None]
    covered = [over[ven_id].covered_seconds for ven_id in taking_part or over]
    return fmean(covered) / 3600 / hours if covered else None
