"""Live totals of one partition, for any order of readings, load snapshots and last wills."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records.network import Totals
from schemas.records.telemetry import Load, LoadSnapshot, Reading
from streams.live.aggregation import LOADS_RETENTION, PartitionTotals
from tests.unit.streams.live.test_aggregation import KW, LOADS, MINUTE, at, reading, told, totals_of


@dataclass(frozen=True)
class Will:
    ven_id: str
    received_at: datetime


Message = Reading | LoadSnapshot | Will


def take(totals: PartitionTotals, messages: Iterable[Message]) -> None:
    for message in messages:
        if isinstance(message, Reading):
            totals.update(message)
        elif isinstance(message, LoadSnapshot):
            totals.update_loads(message)
        else:
            totals.apply_last_will(message.ven_id, message.received_at)


EV = Load("ev", current_power_kw=7.0, shed_capability_kw=6.0)


def snapshot(ven: str, measured: float, received: float | None = None, *loads: Load) -> LoadSnapshot:
    heard = at(measured if received is None else received)
    return LoadSnapshot(ven_id=ven, timestamp=at(measured), received_at=heard, loads=loads)


def test_last_will_removes_a_ven_until_its_next_reading() -> None:
    totals = totals_of([reading("a", 0, used_power_kw=2.0), reading("b", 0, used_power_kw=1.0)])
    totals.apply_last_will("a", at(5))
    assert totals.totals(at(6) - MINUTE) == Totals(1, 1.0)
    totals.update(reading("a", 4, 4.5, used_power_kw=9.0))
    assert totals.totals(at(6) - MINUTE) == Totals(1, 1.0)
    totals.update(reading("a", 7, used_power_kw=3.0))
    totals.apply_last_will("a", at(5))
    assert totals.totals(at(8) - MINUTE) == Totals(2, 4.0)


def test_last_will_of_an_unknown_ven_expires() -> None:
    totals = PartitionTotals(MINUTE)
    totals.apply_last_will("a", at(0))
    totals.update(reading("a", 0, used_power_kw=2.0))
    assert totals.totals(at(60) - MINUTE) == Totals()
    totals.update(reading("a", 61, used_power_kw=2.0))
    assert totals.totals(at(61) - MINUTE) == Totals(1, 2.0)
    assert not totals._left


def test_snapshot_makes_no_ven_online() -> None:
    totals = PartitionTotals(MINUTE)
    totals.update_loads(snapshot("a", 0, None, EV))
    assert totals.totals(at(0) - MINUTE) == Totals()
    totals.update(reading("a", 1, used_power_kw=1.0))
    assert totals.totals(at(1) - MINUTE) == Totals(1, 1.0, 0.0, 7.0, 6.0)
    totals.update_loads(snapshot("a", 2))
    totals.update_loads(snapshot("a", 1, 3, EV))
    assert totals.totals(at(3) - MINUTE) == Totals(1, 1.0)


def test_loads_wait_for_the_next_reading() -> None:
    totals = totals_of([reading("a", 0, used_power_kw=1.0)])
    totals.update_loads(snapshot("a", 50, None, EV))
    # The VEN's readings are late, its snapshots are not.
    assert totals.totals(at(61) - MINUTE) == Totals()
    totals.update(reading("a", 62, used_power_kw=1.0))
    assert totals.totals(at(62) - MINUTE) == Totals(1, 1.0, 0.0, 7.0, 6.0)


@pytest.mark.parametrize("reading_first", [True, False])
def test_reading_wins_over_snapshot_of_one_second(*, reading_first: bool) -> None:
    totals = PartitionTotals(MINUTE)
    both: list[Message] = [reading("a", 0, loads=(EV,)), snapshot("a", 0)]
    take(totals, both if reading_first else both[::-1])
    assert totals.totals(at(0) - MINUTE) == Totals(1, 0.0, 0.0, 7.0, 6.0)


def test_values_of_silent_vens_are_dropped() -> None:
    totals = totals_of([reading("a", 0, loads=(EV,)), reading("b", 0, loads=(EV,))])
    totals.update_loads(snapshot("c", 0, None, EV))
    totals.apply_last_will("d", at(0))
    totals.update(reading("b", 50))
    totals.totals(at(61) - MINUTE)
    # Loads wait a day for the next reading, for some VENs list them rarely.
    assert (set(totals._latest), set(totals._loads), set(totals._left)) == ({"b"}, {"a", "b", "c"}, set())
    totals.totals(at(61) + LOADS_RETENTION - MINUTE)
    assert (set(totals._latest), set(totals._loads)) == (set(), set())


def test_loads_count_again_after_a_silence() -> None:
    totals = totals_of([reading("a", 0, loads=(EV,))])
    assert totals.totals(at(100) - MINUTE).online_vens == 0
    totals.update(reading("a", 110))
    assert totals.totals(at(111) - MINUTE).potential_load_reduction_kw == EV.shed_capability_kw


SOMETIMES_LOADS = st.builds(
    reading, st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 9), used_power_kw=KW, loads=st.none() | LOADS
)
SNAPSHOTS = st.builds(
    lambda ven, measured, received, loads: snapshot(ven, measured, received, *loads),
    st.sampled_from("ab"),
    st.integers(0, 9),
    st.integers(0, 9),
    LOADS,
)
WILLS = st.builds(Will, st.sampled_from("ab"), st.integers(0, 9).map(at))


def identity(message: Message) -> tuple[object, ...]:
    moment = message.received_at if isinstance(message, Will) else message.timestamp
    return type(message), message.ven_id, moment


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Message], list[Message]]:
    """Messages, and the order they arrive in, some of them twice."""
    messages = draw(st.lists(SOMETIMES_LOADS | SNAPSHOTS | WILLS, max_size=12, unique_by=identity))
    again = draw(st.lists(st.sampled_from(messages), max_size=4)) if messages else []
    return messages, draw(st.permutations([*messages, *again]))


def at_once(messages: list[Message]) -> Totals:
    """The contract's figures for the VENs that were heard, from all messages at once; nobody is silent for long."""
    total = Totals()
    for ven in "ab":
        mine = [message for message in messages if message.ven_id == ven]
        readings = [message for message in mine if isinstance(message, Reading)]
        left = max((message.received_at for message in mine if isinstance(message, Will)), default=at(-1))
        if not readings or max(message.received_at for message in readings) <= left:
            continue
        lists = [message for message in mine if not isinstance(message, Will) and message.loads is not None]
        listed = max(lists, key=lambda message: (message.timestamp, isinstance(message, Reading)), default=None)
        loads = (listed.loads if listed else None) or ()
        total += Totals(
            1,
            told(readings, "used_power_kw") or 0,
            told(readings, "shed_power_kw") or 0,
            sum(load.current_power_kw or 0 for load in loads if (load.shed_capability_kw or 0) > 0),
            sum(load.shed_capability_kw or 0 for load in loads),
        )
    return total


@given(arrivals())
def test_order_and_repeats_of_all_kinds_do_not_matter(
    history: tuple[list[Message], list[Message]],
) -> None:
    messages, arriving = history
    totals = PartitionTotals(MINUTE)
    take(totals, arriving)
    assert totals.totals(at(9) - MINUTE) == at_once(messages)
