"""Metered power is known when samples cover half of the time."""

import pytest

from schemas.performance.reduction import Metered, energy_kwh, reductions


@pytest.mark.parametrize(
    ("metered", "kw"),
    [
        (Metered(kwh=1.5, covered_seconds=900, seconds=900), 6.0),
        (Metered(kwh=0.75, covered_seconds=450, seconds=900), 6.0),
        (Metered(kwh=0.75, covered_seconds=449.9, seconds=900), None),
        (Metered(kwh=-0.5, covered_seconds=900, seconds=900), -2.0),
        (Metered(kwh=0.0, covered_seconds=0, seconds=0), None),
    ],
    ids=["all", "half", "less", "export", "no-time"],
)
def test_the_mean_is_that_of_the_covered_time(metered: Metered, kw: float | None) -> None:
    assert metered.mean_kw == kw


def test_an_interval_without_baseline_or_meter_has_no_reduction() -> None:
    reduced = reductions([5.0, None, 5.0, 5.0], [7.0, 1.0, None, 1.0])
    assert reduced == [-2.0, None, None, 4.0]
    assert energy_kwh(reduced, [0.25] * 4) == 0.5
    assert energy_kwh([None], [0.25]) is None
