"""What a home would have used: the average of selected days, corrected by the hours before the event."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from statistics import fmean

from schemas.performance.adjustment import NO_ADJUSTMENT, Adjustment, adjust
from schemas.performance.day_kinds import DayKind
from schemas.performance.day_selection import DaySelection, IntervalMeans, select_days
from schemas.performance.presets import METHODS, BaselinePreset


class BaselineFlag(StrEnum):
    """What a reader of a baseline must know."""

    INSUFFICIENT_HISTORY = "insufficient_history"  # too few days: the hour before the event stands for them
    NOT_ADJUSTED = "not_adjusted"  # the adjustment window has no data, or its baseline is 0 or below
    NO_DATA = "no_data"  # no sample in the hour before either: there is no baseline


@dataclass(frozen=True, slots=True)
class DayMeans:
    """The means of one past day: in the event's intervals, and in those of the adjustment window."""

    event: IntervalMeans
    window: IntervalMeans


@dataclass(frozen=True, slots=True)
class VenHistory:
    """What a baseline of one VEN is computed from.

    `days` has the past days that are like the event's day; `window` what was metered before the event in the intervals
    of the adjustment window; `hour_before_kw` the mean of the 60 minutes before the event, None without a sample.
    """

    days: Mapping[date, DayMeans]
    event_days: Collection[date]
    window: IntervalMeans
    hour_before_kw: float | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline (kW) for each interval of an event, before and after the adjustment, and how it came about."""

    preset: BaselinePreset
    unadjusted_kw: IntervalMeans
    kw: IntervalMeans
    adjustment: Adjustment
    selection: DaySelection
    flags: tuple[BaselineFlag, ...] = ()


_NO_DAYS = DaySelection((), {}, sufficient=True)


def compute_baseline(
    preset: BaselinePreset, kind: DayKind, candidates: Sequence[date], history: VenHistory, intervals: int
) -> Baseline:
    """Compute the baseline of one VEN for an event with so many intervals on a day of this kind.

    `b(i)` is the mean of `E(d,i)` over the selected days that know the interval, then adjusted: see `adjust`. With too
    few days it is the mean of the hour before the event, as for `meter-before`.
    """
    method = METHODS.get(preset)
    if method is None:
        return _hour_before(history, intervals, _NO_DAYS, ())
    means = {day: history.days[day].event for day in candidates if day in history.days}
    selection = select_days(method, kind, candidates, means, history.event_days)
    if not selection.sufficient:
        return _hour_before(history, intervals, selection, (BaselineFlag.INSUFFICIENT_HISTORY,))
    days = [history.days[day] for day in selection.days]
    unadjusted = _mean_of_days([day.event for day in days])
    adjustment = adjust(method.adjustment, history.window, _mean_of_days([day.window for day in days]))
    flags = () if adjustment.known else (BaselineFlag.NOT_ADJUSTED,)
    return Baseline(preset, unadjusted, adjustment.apply(unadjusted), adjustment, selection, flags)


def _hour_before(
    history: VenHistory, intervals: int, selection: DaySelection, flags: tuple[BaselineFlag, ...]
) -> Baseline:
    kw: IntervalMeans = [history.hour_before_kw] * intervals
    if history.hour_before_kw is None:
        flags = (*flags, BaselineFlag.NO_DATA)
    return Baseline(BaselinePreset.METER_BEFORE, kw, kw, NO_ADJUSTMENT, selection, flags)


def _mean_of_days(days: Sequence[IntervalMeans]) -> list[float | None]:
    columns = ([mean for mean in column if mean is not None] for column in zip(*days, strict=True))
    return [fmean(known) if known else None for known in columns]
