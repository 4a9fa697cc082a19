"""A home battery: charges during the day and discharges in the evening, the same every day."""

from gateway.fleet.appliances import Moment

_LOW, _HIGH = 0.15, 0.95  # the range of the state of charge that is used
_CHARGE_FROM, _CHARGE_HOURS = 9.0, 6.0
_DISCHARGE_FROM, _DISCHARGE_HOURS = 17.0, 5.0


class Battery:
    """A battery of `energy_kwh`. Its power is the derivative of its state of charge, so the two always agree."""

    def __init__(self, energy_kwh: float) -> None:
        self._usable_kwh = energy_kwh * (_HIGH - _LOW)

    def soc(self, m: Moment) -> float:
        """Return the state of charge, 0-1."""
        charged = _progress(m.hour, _CHARGE_FROM, _CHARGE_HOURS) - _progress(m.hour, _DISCHARGE_FROM, _DISCHARGE_HOURS)
        return _LOW + (_HIGH - _LOW) * charged

    def power(self, m: Moment) -> float:
        """Return the power in kW: positive while charging, negative while discharging."""
        return self._usable_kwh * (
            _pace(m.hour, _CHARGE_FROM, _CHARGE_HOURS) - _pace(m.hour, _DISCHARGE_FROM, _DISCHARGE_HOURS)
        )


def _progress(hour: float, start: float, hours: float) -> float:
    """Return how much of a phase is done, 0-1, with a smooth start and end."""
    x = min(1.0, max(0.0, (hour - start) / hours))
    return x * x * (3.0 - 2.0 * x)


def _pace(hour: float, start: float, hours: float) -> float:
    """Return the derivative of `_progress`, per hour."""
    x = (hour - start) / hours
    return 6.0 * x * (1.0 - x) / hours if 0.0 < x < 1.0 else 0.0
