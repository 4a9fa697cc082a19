"""Corrects a baseline by what the home used in the hours before the event."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from schemas.performance.day_selection import IntervalMeans
from schemas.performance.presets import AdjustmentRule


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The baseline is multiplied by `factor`, then `added_kw` is added. `known` tells whether it could be computed."""

    factor: float = 1.0
    added_kw: float = 0.0
    known: bool = True

    def apply(self, baseline: IntervalMeans) -> list[float | None]:
        """Return the corrected baseline."""
        return [None if kw is None else kw * self.factor + self.added_kw for kw in baseline]


NO_ADJUSTMENT = Adjustment(known=False)


def adjust(rule: AdjustmentRule, metered: IntervalMeans, baseline: IntervalMeans) -> Adjustment:
    """Compare what was metered in the adjustment window with the baseline of the same intervals.

    Ratio: `clip(sum E / sum b, low, high)`; unknown if the denominator is 0 or below. Additive: `mean(E - b)`. Only
    intervals of which both are known count; without one the adjustment is unknown. The formulas are those of the day
    and same-day adjustments that CAISO (10 of 10) and PJM (economic CBL) publish.
    """
    pairs = _known(metered, baseline)
    if not pairs:
        return NO_ADJUSTMENT
    if rule.ratio is None:
        return Adjustment(added_kw=fmean(used - expected for used, expected in pairs))
    used, expected = (sum(values) for values in zip(*pairs, strict=True))
    if expected <= 0:
        return NO_ADJUSTMENT
    low, high = rule.ratio
    return Adjustment(factor=min(max(used / expected, low), high))


def _known(metered: IntervalMeans, baseline: IntervalMeans) -> Sequence[tuple[float, float]]:
    return [
        (used, expected)
        for used, expected in zip(metered, baseline, strict=True)
        if used is not None and expected is not None
    ]
