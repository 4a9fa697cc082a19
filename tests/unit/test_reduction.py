"""Time-averages: weighted by real gaps, never by the number of samples."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reduction import Sample, mean_power

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
HOUR = START + timedelta(hours=1)


def at(minute: float, kw: float) -> Sample:
    return START + timedelta(minutes=minute), kw


@pytest.mark.parametrize(
    ("samples", "mean"),
    [
        ([], 0.0),
        ([at(0, 4.0)], 4.0),
        ([at(30, 4.0)], 2.0),  # nothing was shed before
        ([at(0, 4.0), at(30, 0.0)], 2.0),
        ([at(0, 4.0), at(45, 0.0)], 3.0),
        ([at(0, 4.0), *(at(45 + n / 100, 0.0) for n in range(1000))], 3.0),  # many samples weigh nothing
        ([at(-10, 4.0)], 4.0),  # told before, and held
        ([at(-20, 8.0), at(-10, 4.0)], 4.0),
        ([at(0, 4.0), at(60, 100.0), at(90, 100.0)], 4.0),  # the end is not in it
        ([at(10, 6.0), at(10, 3.0)], 2.5),  # of the same moment, the last counts
        ([at(0, -1.0)], -1.0),
    ],
)
def test_samples_hold_until_the_next(samples: list[Sample], mean: float) -> None:
    assert mean_power(samples, START, HOUR) == pytest.approx(mean)


def test_an_event_without_a_length_has_no_reduction() -> None:
    assert mean_power([at(0, 4.0)], START, START) == 0.0
    assert mean_power([at(0, 4.0)], HOUR, START) == 0.0


MOMENTS = st.lists(st.tuples(st.floats(-30, 90), st.floats(-100, 100)), max_size=20)


@given(MOMENTS, st.floats(0, 60))
def test_repeating_what_was_told_changes_nothing(told: list[tuple[float, float]], minute: float) -> None:
    samples = sorted((at(*each) for each in told), key=lambda sample: sample[0])
    again = START + timedelta(minutes=minute)
    before = [sample for sample in samples if sample[0] <= again]
    more = [*before, (again, before[-1][1] if before else 0.0), *samples[len(before) :]]
    assert math.isclose(mean_power(samples, START, HOUR), mean_power(more, START, HOUR), rel_tol=1e-9, abs_tol=1e-9)


@given(MOMENTS)
def test_the_mean_is_never_outside_of_what_was_told(told: list[tuple[float, float]]) -> None:
    samples = sorted((at(*each) for each in told), key=lambda sample: sample[0])
    powers = [0.0, *(power for _, power in samples)]
    assert min(powers) - 1e-9 <= mean_power(samples, START, HOUR) <= max(powers) + 1e-9
