"""A home battery: filled from the sun by day, emptied into the evening peak, the same course every day."""

from gateway.fleet.appliances import Moment

_LOW, _HIGH = 0.15, 0.95  # state of charge: what its owner keeps back, and what spares the cells
_FILL_FROM, _FILL_HOURS = 9.0, 6.0
_DRAIN_FROM, _DRAIN_HOURS = 17.0, 5.0


class Battery:
    """A battery of `energy_kwh`; its power is the derivative of its state of charge, so the two always agree."""

    def __init__(self, energy_kwh: float) -> None:
        self._usable_kwh = energy_kwh * (_HIGH - _LOW)

    def soc(self, m: Moment) -> float:
        """State of charge, 0-1."""
        filled = _progress(m.hour, _FILL_FROM, _FILL_HOURS) - _progress(m.hour, _DRAIN_FROM, _DRAIN_HOURS)
        return _LOW + (_HIGH - _LOW) * filled

    def power(self, m: Moment) -> float:
        """Power in kW: positive while it fills, negative while it feeds the home."""
        return self._usable_kwh * (_pace(m.hour, _FILL_FROM, _FILL_HOURS) - _pace(m.hour, _DRAIN_FROM, _DRAIN_HOURS))


def _progress(hour: float, start: float, hours: float) -> float:
    """How much of a phase is done, from 0 to 1, with a gentle start and end."""
    x = min(1.0, max(0.0, (hour - start) / hours))
    return x * x * (3.0 - 2.0 * x)


def _pace(hour: float, start: float, hours: float) -> float:
    """The derivative of `_progress`, per hour."""
    x = (hour - start) / hours
    return 6.0 * x * (1.0 - x) / hours if 0.0 < x < 1.0 else 0.0
