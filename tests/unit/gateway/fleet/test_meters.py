"""What irregular meters publish, and what must become of it."""

import json
from itertools import pairwise

import pytest

from gateway.fleet.home import Home
from gateway.fleet.meters import SPIKE_KW, Meter, MeterKind, MeterMessage, Row
from gateway.reconciliation.meters import energy_kwh

NOON = 1_790_856_000
"""Unix seconds; a quarter of an hour begins."""


def published(kind: MeterKind, seconds: int) -> list[MeterMessage]:
    meter = Meter("ven-1", kind, Home(1, 1))
    return [message for second in range(seconds) for message in meter.at(NOON + second)]


def times(messages: list[MeterMessage]) -> list[int]:
    return [row.time - NOON for message in messages for row in message.rows]


@pytest.mark.parametrize(
    ("kind", "seconds", "expected"),
    [
        (MeterKind.QUARTER_HOURLY, 1801, [0, 900, 1800]),
        (MeterKind.PARTIAL, 20, [0, 5, 10, 15]),
        (MeterKind.AHEAD, 10, [240, 245]),
        (MeterKind.BEHIND, 10, [-18_000, -17_995]),
        (MeterKind.SPIKES, 25, [0, 5, 15, 20]),
        (MeterKind.SPLIT, 10, [0, 5]),
        (MeterKind.BACKLOG, 60, [5 * n for n in range(12)]),
        (MeterKind.CIRCUITS, 10, [0, 5]),
    ],
)
def test_a_meter_publishes_at_the_times_of_its_kind(kind: MeterKind, seconds: int, expected: list[int]) -> None:
    assert times(published(kind, seconds)) == expected


def test_a_meter_on_change_never_repeats_a_power() -> None:
    powers = [row.used_kw for message in published(MeterKind.ON_CHANGE, 7200) for row in message.rows]
    assert len(powers) > 1
    assert all(earlier != later for earlier, later in pairwise(powers))


def test_a_partial_sample_tells_one_thing() -> None:
    fields = [set(json.loads(message.payload)) - {"venId", "timestamp"} for message in published(MeterKind.PARTIAL, 15)]
    assert fields == [{"usedPowerKw", "shedPowerKw"}, {"batterySoc"}, {"loads"}]


def test_spikes_and_second_samples_become_dead_letters() -> None:
    spikes = [message for message in published(MeterKind.SPIKES, 30) if message.rejected]
    assert {message.rejected for message in spikes} == {"implausible"}
    assert all(json.loads(message.payload)["usedPowerKw"] == SPIKE_KW for message in spikes)
    first, second = published(MeterKind.SPLIT, 1)
    assert json.loads(first.payload)["timestamp"] == json.loads(second.payload)["timestamp"]
    assert (first.rejected, second.rejected) == (None, "conflicting_sample")


def test_expected_energy_holds_for_twenty_minutes() -> None:
    rows = [Row(0, 6.0), Row(900, None), Row(1800, 3.0)]
    assert energy_kwh(rows, 2400) == pytest.approx((6 * 1200 + 3 * 600) / 3600)
    assert energy_kwh(rows, 900) == pytest.approx(1.5)
    assert energy_kwh([], 900) == 0
