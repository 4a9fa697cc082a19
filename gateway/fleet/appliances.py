"""The power of a circuit at a time, in kW: pure functions of a seed and the time.

Each function below derives the habits of a circuit from its seed and returns its power curve. Consumption is positive;
production and a discharging battery are negative.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from gateway.fleet.noise import between, derive, unit, wave

HOUR_S = 3600.0
DAY_H = 24.0


class Moment(NamedTuple):
    """A time at one home: `t` in Unix seconds, `hour` (0-24) and `day` in local solar time."""

    t: float
    hour: float
    day: int

    @classmethod
    def at(cls, t: float, longitude: float) -> "Moment":
        """Return `t` (Unix seconds) at `longitude` (degrees east); the sun moves 15 degrees an hour."""
        day, hour = divmod(t / HOUR_S + longitude / 15.0, DAY_H)
        return cls(t, hour, int(day))


Power = Callable[[Moment], float]


def bump(hour: float, centre: float, width: float) -> float:
    """Return how near `hour` is to `centre`: 1 at the centre, 0 at `width` hours and more, also across midnight."""
    distance = abs((hour - centre + 12.0) % DAY_H - 12.0)
    return 0.0 if distance >= width else 0.5 + 0.5 * math.cos(math.pi * distance / width)


def ripple(seed: int, t: float, part: float) -> float:
    """Return a factor around 1 that varies every second by up to `part` in either direction."""
    return 1.0 + part * (2.0 * unit(seed, int(t)) - 1.0)


def cycling(moment: Moment, period: float, phase: float, duty: float) -> bool:
    """Return whether a thermostat with this period (s), phase (0-1) and duty cycle (0-1) is on."""
    return (moment.t / period + phase) % 1.0 < duty


def session(moment: Moment, seed: int, chance: float, start: float, hours: float) -> bool:
    """Return whether a daily session runs now. It begins about hour `start`, on a share `chance` of all days.

    It lasts about `hours`; start and length vary by a quarter of that. A session may extend past midnight.
    """
    for day in (moment.day, moment.day - 1):
        random = derive(seed, day)
        if unit(random, 0) < chance:
            elapsed = moment.hour + DAY_H * (moment.day - day) - start - between(random, 1, -0.25, 0.25) * hours
            if 0.0 <= elapsed < hours * between(random, 2, 0.75, 1.25):
                return True
    return False


def hvac(seed: int, rated: float) -> Power:
    """A heat pump: the compressor cycles, longer in the afternoon and early morning."""
    period, phase, demand = between(seed, 0, 700, 1300), unit(seed, 1), between(seed, 2, 0.7, 1.3)

    def power(m: Moment) -> float:
        need = 0.12 + 0.5 * bump(m.hour, 16.5, 7.0) + 0.25 * bump(m.hour, 6.5, 2.5)
        weather = 0.7 + 0.6 * wave(seed, m.t, 6 * HOUR_S)
        on = cycling(m, period, phase, min(0.95, need * demand * weather))
        return (rated if on else 0.03) * ripple(seed, m.t, 0.03)

    return power


def water_heater(seed: int, rated: float) -> Power:
    """An electric tank: short cycles at any time, long ones after morning and evening showers."""
    period, phase = between(seed, 0, 1500, 2700), unit(seed, 1)
    morning, evening = between(seed, 2, 6.0, 8.5), between(seed, 3, 19.0, 21.5)

    def power(m: Moment) -> float:
        duty = 0.04 + 0.5 * bump(m.hour, morning, 1.8) + 0.35 * bump(m.hour, evening, 2.0)
        return rated * ripple(seed, m.t, 0.01) if cycling(m, period, phase, duty) else 0.0

    return power


def ev_charger(seed: int, rated: float) -> Power:
    """A car that charges on most nights, from late evening."""
    chance, start, hours = between(seed, 0, 0.5, 0.9), between(seed, 1, 20.5, 24.5), between(seed, 2, 2.0, 5.0)

    def power(m: Moment) -> float:
        return rated * ripple(seed, m.t, 0.01) if session(m, seed, chance, start, hours) else 0.0

    return power


def dryer(seed: int, rated: float) -> Power:
    """A clothes dryer: about an hour on some days, with a cycling heater."""
    chance, start, phase = between(seed, 0, 0.2, 0.5), between(seed, 1, 9.0, 20.0), unit(seed, 2)

    def power(m: Moment) -> float:
        if not session(m, seed, chance, start, 0.9):
            return 0.0
        return (rated if cycling(m, 240.0, phase, 0.75) else 0.3) * ripple(seed, m.t, 0.03)

    return power


def kitchen_range(seed: int, rated: float) -> Power:
    """A stove: a quick breakfast, and dinner on most days."""
    breakfast, dinner, phase = between(seed, 0, 6.5, 8.5), between(seed, 1, 17.5, 19.5), unit(seed, 2)

    def power(m: Moment) -> float:
        cooking = session(m, seed, 0.85, dinner, 0.8) or session(m, derive(seed, 3), 0.5, breakfast, 0.3)
        if not cooking:
            return 0.0
        return rated * (0.6 if cycling(m, 90.0, phase, 0.55) else 0.2) * ripple(seed, m.t, 0.05)

    return power


def lights(seed: int, rated: float) -> Power:
    """Lights: on before work and in the evening, a few at night."""
    wake, sleep_in = between(seed, 0, 6.0, 7.5), between(seed, 1, 19.5, 21.5)

    def power(m: Moment) -> float:
        level = 0.03 + 0.3 * bump(m.hour, wake, 1.8) + 0.55 * bump(m.hour, sleep_in, 3.5)
        return rated * level * (0.7 + 0.3 * wave(seed, m.t, 900.0)) * ripple(seed, m.t, 0.02)

    return power


def outlets(seed: int, rated: float) -> Power:
    """Plugged-in devices: a base load, and more when people are at home and awake."""
    base = between(seed, 0, 0.03, 0.08)

    def power(m: Moment) -> float:
        level = base + 0.08 * bump(m.hour, 8.0, 2.5) + 0.2 * bump(m.hour, 20.0, 4.5)
        return rated * level * (0.5 + wave(seed, m.t, 1200.0)) * ripple(seed, m.t, 0.05)

    return power


def fridge(seed: int, rated: float) -> Power:
    """A refrigerator: the compressor cycles all day."""
    period, phase, duty = between(seed, 0, 1800, 3000), unit(seed, 1), between(seed, 2, 0.3, 0.5)

    def power(m: Moment) -> float:
        return (rated if cycling(m, period, phase, duty) else 0.004) * ripple(seed, m.t, 0.04)

    return power


def solar(seed: int, rated: float) -> Power:
    """Solar panels: a bell curve over the day, reduced by clouds; negative, because it is production."""

    def power(m: Moment) -> float:
        height = math.sin(math.pi * (m.hour - 6.0) / 12.0)
        if height <= 0.0:
            return 0.0
        overcast = 0.75 * wave(derive(seed, m.day), m.t, 2 * HOUR_S)
        passing = 0.5 * max(0.0, wave(seed, m.t, 180.0) - 0.5)
        return -rated * math.pow(height, 1.3) * (1.0 - overcast) * (1.0 - passing) * ripple(seed, m.t, 0.01)

    return power
