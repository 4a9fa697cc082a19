"""Of two different readings of one VEN and time, the first counts in the live totals; the sink rejects the other."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.records.network import Totals, TotalsReading, decode_totals_reading
from schemas.records.telemetry import Load, Reading, encode_measurement
from streams.live.aggregation import PartitionTotals

START = datetime(2025, 3, 10, 12, tzinfo=UTC)
EV = Load("ev", type="ev", current_power_kw=7.0, shed_capability_kw=6.0)


def received(second: float = 0, **fields: Any) -> TotalsReading:
    """Return a reading of `ven-1`, measured at `START`, as `live` decodes it."""
    moment = START + timedelta(seconds=second)
    return decode_totals_reading(encode_measurement(Reading("ven-1", START, moment, **fields), 0))


def totals(*readings: TotalsReading, silent_before: datetime = START - timedelta(minutes=1)) -> Totals:
    state = PartitionTotals(timedelta(hours=1))
    for reading in readings:
        state.update(reading)
    return state.totals(silent_before)


def test_second_reading_of_one_time_changes_nothing() -> None:
    first = received(used_power_kw=1.0)
    assert totals(first, received(1, used_power_kw=2.0, loads=(EV,))) == totals(first)
    assert totals(first, received(1, used_power_kw=2.0), first) == totals(first)


def test_conflict_does_not_keep_a_ven_online() -> None:
    later = START + timedelta(minutes=5)
    conflict, duplicate = received(300, used_power_kw=2.0), received(300, used_power_kw=1.0)
    assert totals(received(used_power_kw=1.0), conflict, silent_before=later).online_vens == 0
    assert totals(received(used_power_kw=1.0), duplicate, silent_before=later).online_vens == 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_first_of_any_sequence_of_conflicts_counts(powers: list[int]) -> None:
    readings = [
        received(number, used_power_kw=float(power), loads=(EV,) * (power > 1)) for number, power in enumerate(powers)
    ]
    expected = totals(readings[0])
    assert totals(*readings) == expected
