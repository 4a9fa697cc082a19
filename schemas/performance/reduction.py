"""How much less a home used than its baseline says."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.performance.day_selection import IntervalMeans

KNOWN_SHARE = 0.5
"""An interval is known when samples cover this share of it."""


@dataclass(frozen=True, slots=True)
class Metered:
    """Energy in a piece of time: `kwh` over the `covered_seconds` in which the power was known, of `seconds`."""

    kwh: float
    covered_seconds: float
    seconds: float

    @property
    def mean_kw(self) -> float | None:
        """The mean net import `E(d,i)` in kW; None when samples cover less than half of the time."""
        if self.seconds <= 0 or self.covered_seconds < KNOWN_SHARE * self.seconds:
            return None
        return self.kwh * 3600 / self.covered_seconds


def reductions(baseline: IntervalMeans, metered: IntervalMeans) -> list[float | None]:
    """Return `B(i) - E(0,i)` in kW for each interval, signed: negative where more was used than expected."""
    return [
        None if expected is None or used is None else expected - used
        for expected, used in zip(baseline, metered, strict=True)
    ]


def energy_kwh(kw: IntervalMeans, hours: Sequence[float]) -> float | None:
    """Return the energy of the known intervals; None if none is known."""
    known = [(power, length) for power, length in zip(kw, hours, strict=True) if power is not None]
    return sum(power * length for power, length in known) if known else None
