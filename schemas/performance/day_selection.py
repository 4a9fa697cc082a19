"""Selects the past days that a baseline is the average of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from statistics import fmean

from schemas.performance.day_kinds import DayKind, HolidayCalendar
from schemas.performance.presets import LOOKBACK_DAYS, BaselineMethod

USABLE_SHARE = 0.9
"""A day is usable if this share of the event's intervals is known."""

IntervalMeans = Sequence[float | None]
"""Mean net import (kW) in each interval of an event; None where samples cover less than half of it."""


class Exclusion(StrEnum):
    """Why a day is not selected."""

    OTHER_KIND = "other_kind"  # a weekend for a weekday, a holiday, …
    EVENT_DAY = "event_day"
    MISSING_DATA = "missing_data"
    LOW_USE = "low_use"
    LOWER_USE = "lower_use"  # the method takes the days of the highest use


@dataclass(frozen=True, slots=True)
class DaySelection:
    """The selected days, the latest first, and why each later one than the earliest was left out."""

    days: tuple[date, ...]
    excluded: Mapping[date, Exclusion]
    sufficient: bool


def candidate_days(
    method: BaselineMethod, day: date, calendar: HolidayCalendar
) -> tuple[list[date], dict[date, Exclusion]]:
    """Return the days before `day` that are like it, the latest first, and the others. The same for all VENs."""
    alike = method.alike(calendar.kind(day))
    before = [day - timedelta(days=back) for back in range(1, LOOKBACK_DAYS + 1)]
    kinds = {other: calendar.kind(other) for other in before}
    return (
        [other for other in before if kinds[other] in alike],
        {other: Exclusion.OTHER_KIND for other in before if kinds[other] not in alike},
    )


def select_days(
    method: BaselineMethod,
    kind: DayKind,
    candidates: Sequence[date],
    means: Mapping[date, IntervalMeans],
    event_days: Collection[date],
) -> DaySelection:
    """Select days for one VEN from those that are like the event's day (of this kind), given the latest first.

    Days without an entry in `means`, with too few known intervals, or on which the VEN took part in an event are left
    out. Of the `candidates` that remain, the method's number with the highest energy in the event's hours is selected;
    of equal ones the latest.
    """
    count = method.count(kind)
    excluded: dict[date, Exclusion] = {}
    energy: dict[date, float] = {}
    for day in candidates:
        if day in event_days:
            excluded[day] = Exclusion.EVENT_DAY
            continue
        known = [mean for mean in means.get(day, ()) if mean is not None]
        if not known or len(known) < USABLE_SHARE * len(means[day]):
            excluded[day] = Exclusion.MISSING_DATA
            continue
        energy[day] = fmean(known)
        if len(energy) == count.candidates:
            low_kw = method.low_share * fmean(energy.values())
            low = [other for other, kw in energy.items() if kw < low_kw]
            if not low:
                break
            excluded |= dict.fromkeys(low, Exclusion.LOW_USE)
            energy = {other: kw for other, kw in energy.items() if kw >= low_kw}
    chosen = sorted(energy, key=lambda day: (energy[day], day), reverse=True)[: count.chosen]
    excluded |= dict.fromkeys(energy.keys() - set(chosen), Exclusion.LOWER_USE)
    return DaySelection(tuple(sorted(chosen, reverse=True)), excluded, len(chosen) >= count.minimum)
