"""The simulated homes: deterministic, plausible by the hour, and consistent in their sums."""

from collections import Counter
from itertools import pairwise

import pytest

from gateway.fleet.home import Home

NOON = 1_795_550_400.0  # local noon at 120 degrees west, Unix seconds


HOUR = 3600.0


def test_home_depends_only_on_seed_index_and_time() -> None:
    forward = [Home(1, 3).at(NOON + n) for n in range(50)]
    home = Home(1, 3)
    assert [home.at(NOON + n) for n in reversed(range(50))][::-1] == forward
    assert [Home(1, 4).at(NOON + n) for n in range(50)] != forward
    assert [Home(2, 3).at(NOON + n) for n in range(50)] != forward
    assert home.baseline_kw(NOON) == Home(1, 3).baseline_kw(NOON + 1)


def test_circuits_add_up_to_used_power() -> None:
    for index in range(60):
        home = Home(1, index)
        assert len({circuit.id for circuit in home.circuits}) == 8
        for hour in range(24):
            meter = home.at(NOON + hour * HOUR)
            assert meter.used_kw == pytest.approx(sum(meter.circuits_kw), abs=1e-9)
            for circuit, kw in zip(home.circuits, meter.circuits_kw, strict=True):
                assert abs(kw) <= circuit.capacity_kw
                assert kw >= 0 or circuit.type in {"pv", "battery"}


def test_solar_produces_by_day_only() -> None:
    at = {hour: Counter[str]() for hour in (0, 12)}
    for index in range(60):
        home = Home(1, index)
        for hour, powers in at.items():
            for circuit, kw in zip(home.circuits, home.at(NOON + (hour - 12) * HOUR).circuits_kw, strict=True):
                powers[circuit.type] += round(kw * 1000)
    assert at[12]["pv"] < -10_000
    assert at[0]["pv"] == 0
    assert any(Home(1, index).at(NOON).used_kw < 0 for index in range(60))


def test_meter_never_shows_minus_zero() -> None:
    home = next(home for home in (Home(1, n) for n in range(100)) if any(c.type == "pv" for c in home.circuits))
    dawn = [home.at(NOON - 6 * HOUR + second) for second in range(-1200, 1200)]
    assert any(-0.01 < kw < 0 for meter in dawn for kw in meter.circuits_kw)
    assert "-0.0" not in {str(kw) for meter in dawn for kw in (meter.used_kw, *meter.circuits_kw)}


def test_evening_peak_and_night_charging() -> None:
    homes = [Home(1, index) for index in range(80)]
    means = {hour: sum(home.at(NOON + (hour - 12) * HOUR).used_kw for home in homes) / 80 for hour in (11, 19.5)}
    assert means[19.5] > means[11] + 1.0
    ev = {hour: sum(home.at(NOON + (hour - 12) * HOUR).circuits_kw[2] for home in homes) for hour in (12, 23.5)}
    assert ev[12] == 0
    assert ev[23.5] > 50


def test_thermostat_cycles() -> None:
    powers = [Home(1, 0).at(NOON + 60 * minute).circuits_kw[0] for minute in range(180)]
    starts = sum(before < 0.1 < after for before, after in pairwise(powers))
    assert starts >= 4


def test_battery_charge_equals_energy_taken_in() -> None:
    home = next(home for home in (Home(1, n) for n in range(100)) if home.battery is not None)
    place = [circuit.type for circuit in home.circuits].index("battery")
    meters = [home.at(NOON + 60 * minute) for minute in range(24 * 60)]
    socs = [meter.battery_soc for meter in meters if meter.battery_soc is not None]
    assert len(socs) == len(meters)
    assert 0.0 < min(socs) < 0.2
    assert 0.9 < max(socs) < 1.0
    taken_in_kwh = sum(max(0.0, meter.circuits_kw[place]) for meter in meters) / 60
    given_kwh = -sum(min(0.0, meter.circuits_kw[place]) for meter in meters) / 60
    assert 8.0 * 0.8 < taken_in_kwh < 16.0 * 0.8
    assert given_kwh == pytest.approx(taken_in_kwh, rel=0.02)
