"""Percentiles of measurements."""

from collections.abc import Sequence
from math import ceil


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (above 0, at most 1) of the values do not exceed.

    The nearest-rank method: the result is one of the values. `ordered` is in rising order, and not empty.
    """
    return ordered[ceil(len(ordered) * share) - 1]
