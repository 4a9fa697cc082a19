"""The arithmetic of reduction: what a VEN shed over an event, weighted by time and not by samples. No I/O."""

from collections.abc import Iterable
from datetime import datetime

Sample = tuple[datetime, float]
"""When a VEN said it, and what it then shed, in kW."""


def mean_power(samples: Iterable[Sample], start: datetime, end: datetime) -> float:
    """Return the time-average over [start, end) of a power that was told now and then, in kW.

    A sample, given in order of time, holds until the next one or the end, however long that is; before the first one
    it is 0. Averages of VENs over the same interval add up to the average of their sum.
    """
    whole = (end - start).total_seconds()
    if whole <= 0:
        return 0.0
    energy, since, power = 0.0, start, 0.0
    for moment, told in samples:
        if moment >= end:
            break
        if moment > since:
            energy += power * (moment - since).total_seconds()
            since = moment
        power = told
    energy += power * (end - since).total_seconds()
    return energy / whole
