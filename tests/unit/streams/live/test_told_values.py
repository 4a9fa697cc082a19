"""Which values of a VEN the live totals take: those it tells, and only if they were fresh when they were received."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.records.network import Totals
from schemas.records.telemetry import Load, LoadSnapshot, Reading
from streams.live.aggregation import PartitionTotals
from tests.unit.streams.live.test_aggregation import at, reading, sums, totals_of

DAY = 86_400.0
HOUR = 3600.0
EV = Load("ev", current_power_kw=7.0, shed_capability_kw=6.0)


def skewed(number: int, skew: float) -> Reading:
    """A reading of a VEN whose known skew is `skew` seconds, received a second after it was measured."""
    return reading("a", number - skew, number + 1, used_power_kw=float(number), clock_skew_seconds=skew)


def test_sample_without_power_keeps_the_last_told_power() -> None:
    told = [reading("a", 0, used_power_kw=5.0, shed_power_kw=2.0), reading("a", 5, battery_soc=0.8)]
    assert sums(told) == sums(reversed(told)) == Totals(1, 5.0, 2.0)


def test_each_value_has_its_own_time() -> None:
    told = [
        reading("a", 10, shed_power_kw=1.0),
        reading("a", 5, 11, used_power_kw=4.0, shed_power_kw=9.0),
        reading("a", 4, 12, used_power_kw=7.0),
    ]
    assert sums(told) == sums(reversed(told)) == Totals(1, 4.0, 1.0)


def test_told_zero_counts_as_zero() -> None:
    assert sums([reading("a", 0, used_power_kw=5.0), reading("a", 5, used_power_kw=0.0)]) == Totals(1)


def test_old_sample_makes_online_but_tells_no_value() -> None:
    old = reading("a", -30 * DAY, 0, used_power_kw=5.0, shed_power_kw=2.0, loads=(EV,))
    assert sums([old]) == Totals(1)
    assert sums([reading("a", -61, 0, used_power_kw=5.0)]) == Totals(1)
    assert sums([reading("a", -60, 0, used_power_kw=5.0)]) == Totals(1, 5.0)


def test_old_load_snapshot_tells_no_loads() -> None:
    totals = totals_of([reading("a", 0)])
    totals.update_loads(LoadSnapshot(ven_id="a", timestamp=at(-HOUR), received_at=at(0), loads=(EV,)))
    assert totals.totals(at(-60)) == Totals(1)


@given(st.sampled_from([-5 * HOUR, -7.0, 0.0, 90.0, 5 * HOUR]), st.permutations(range(5)))
def test_home_with_a_wrong_but_steady_clock_counts(skew: float, order: list[int]) -> None:
    assert sums(skewed(number, skew) for number in order) == Totals(1, 4.0)


def test_corrected_clock_does_not_freeze_the_values() -> None:
    # Until now the VEN's clock was five hours ahead; its owner has set it.
    before, after = skewed(10, -5 * HOUR), skewed(20, 0.0)
    assert sums([before, after]) == Totals(1, 20.0)


def test_returning_home_has_no_values_until_it_tells_them() -> None:
    totals = PartitionTotals(timedelta(minutes=1))
    totals.update(reading("a", 0, used_power_kw=5.0))
    assert totals.totals(at(600)) == Totals()
    totals.update(reading("a", 10, 700, used_power_kw=6.0))
    assert totals.totals(at(640)) == Totals(1)
