"""Live totals of one partition, for any order and repeats of readings."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas.records.network import Totals
from schemas.records.telemetry import Load, Reading, astuple
from streams.live.aggregation import PartitionTotals

START = datetime(2025, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KW = st.none() | st.integers(-20, 20).map(float)  # whole, so that sums are exact in any order
LOADS = st.lists(st.builds(Load, st.just("a"), current_power_kw=KW, shed_capability_kw=KW), max_size=3).map(tuple)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(ven: str, measured: float, received: float | None = None, **values: Any) -> Reading:
    return Reading(
        ven_id=ven, timestamp=at(measured), received_at=at(measured if received is None else received), **values
    )


READINGS = st.builds(
    reading,
    st.sampled_from("abc"),
    st.integers(0, 90),
    st.integers(0, 90),
    used_power_kw=KW,
    shed_power_kw=KW,
    loads=LOADS,
)
DISTINCT = st.lists(READINGS, unique_by=lambda reading: (reading.ven_id, reading.timestamp))


def totals_of(readings: Iterable[Reading]) -> PartitionTotals:
    totals = PartitionTotals(MINUTE)
    for one in readings:
        totals.update(one)
    return totals


def sums(readings: Iterable[Reading], now: float = 0) -> Totals:
    return totals_of(readings).totals(at(now) - MINUTE)


def told(readings: Iterable[Reading], field: str) -> Any:
    """The latest value of a field; of two with one time the first."""
    telling = [one for one in readings if getattr(one, field) is not None]
    return getattr(max(telling, key=lambda one: one.corrected_time), field) if telling else None


def expected_totals(readings: list[Reading], now: datetime) -> Totals:
    """The contract's figures, from all readings at once."""
    online = {one.ven_id for one in readings if one.received_at >= now - MINUTE}
    fresh = [
        [one for one in readings if one.ven_id == ven and one.received_at - one.corrected_time <= MINUTE]
        for ven in online
    ]
    loads = [load for mine in fresh for load in told(mine, "loads") or ()]
    return Totals(
        online_vens=len(online),
        household_usage_kw=sum(told(mine, "used_power_kw") or 0 for mine in fresh),
        current_load_reduction_kw=sum(told(mine, "shed_power_kw") or 0 for mine in fresh),
        controllable_power_kw=sum(load.current_power_kw or 0 for load in loads if (load.shed_capability_kw or 0) > 0),
        potential_load_reduction_kw=sum(load.shed_capability_kw or 0 for load in loads),
    )


@given(DISTINCT, st.integers(0, 200))
def test_totals_equal_a_computation_from_all_readings(readings: list[Reading], now: int) -> None:
    assert sums(readings, now) == expected_totals(readings, at(now))


@given(DISTINCT.flatmap(lambda readings: st.tuples(st.just(readings), st.permutations(readings))), st.integers(0, 200))
def test_order_of_readings_does_not_matter(orders: tuple[list[Reading], list[Reading]], now: int) -> None:
    assert sums(orders[0], now) == sums(orders[1], now)


@given(DISTINCT, st.data())
def test_redelivered_reading_changes_nothing(readings: list[Reading], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(readings))) if readings else []
    assert sums(readings + again) == sums(readings)


@dataclass
class Known:
    """What the test knows of a VEN."""

    readings: list[Reading]
    heard: datetime


class TotalsMachine(RuleBasedStateMachine):
    """Readings come late, twice and out of order while the clock goes on and totals are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = PartitionTotals(MINUTE)
        self.known: dict[str, Known] = {}
        self.now = START

    @rule(seconds=st.integers(0, 40))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(ven=st.sampled_from("abc"), late=st.integers(-2, 55), used=KW, shed=KW, loads=LOADS)
    def hear(self, ven: str, late: int, used: float | None, shed: float | None, loads: tuple[Load, ...]) -> None:
        heard = Reading(
            ven_id=ven,
            timestamp=self.now - timedelta(seconds=late),
            received_at=self.now,
            used_power_kw=used,
            shed_power_kw=shed,
            loads=loads,
        )
        self.totals.update(heard)
        known = self.known.setdefault(ven, Known([], self.now))
        known.readings.append(heard)
        known.heard = self.now

    @rule(ven=st.sampled_from("abc"))
    def hear_the_same_again(self, ven: str) -> None:
        if ven in self.known:
            self.totals.update(self.known[ven].readings[-1])

    @invariant()
    def totals_are_of_the_vens_heard_in_the_last_minute(self) -> None:
        found = self.totals.totals(self.now - MINUTE)
        self.known = {ven: known for ven, known in self.known.items() if known.heard >= self.now - MINUTE}
        # All that are left are online by the test's own book.
        readings = [one for known in self.known.values() for one in known.readings]
        expected = expected_totals(readings, datetime(1970, 1, 1, tzinfo=UTC) + MINUTE)
        assert astuple(found) == astuple(expected)
        assert len(self.totals) == found.online_vens


TestTotals = TotalsMachine.TestCase
TestTotals.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_values_move_forward_in_event_time() -> None:
    late = [
        reading("a", 10, used_power_kw=1.0),
        reading("a", 5, 12, used_power_kw=9.0),
        reading("a", 10, 13, used_power_kw=7.0),
    ]
    assert sums(late).household_usage_kw == 1.0


@pytest.mark.parametrize(("now", "online"), [(60, 1), (60.000001, 0), (3600, 0)])
def test_silent_ven_leaves_the_totals(now: float, online: int) -> None:
    totals = totals_of([reading("a", 0, used_power_kw=2.0)])
    assert totals.totals(at(now) - MINUTE).online_vens == len(totals) == online


def test_late_reading_makes_a_ven_online() -> None:
    readings = [reading("a", 0, 0, used_power_kw=2.0), reading("a", -500, 100, used_power_kw=9.0)]
    assert sums(readings, 120) == Totals(1, 2.0)


def test_ven_returns_with_its_next_reading() -> None:
    totals = totals_of([reading("a", 0, used_power_kw=2.0)])
    assert totals.totals(at(100) - MINUTE) == Totals()
    totals.update(reading("a", 101, used_power_kw=3.0))
    assert totals.totals(at(101) - MINUTE) == Totals(1, 3.0)


def test_reading_without_loads_keeps_the_known_ones() -> None:
    loads = (Load("ev", current_power_kw=7.0, shed_capability_kw=6.0), Load("fridge", current_power_kw=0.2))
    with_loads = sums([reading("a", 0, loads=loads), reading("a", 5, used_power_kw=1.0)])
    assert with_loads == Totals(1, 1.0, 0.0, 7.0, 6.0)
    assert sums([reading("a", 0, loads=loads), reading("a", 5, loads=())]) == Totals(1)
