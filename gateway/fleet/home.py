"""A home: eight circuits behind one panel, and what its meter shows at any time. No I/O, no clock, no state."""

from dataclasses import dataclass
from functools import lru_cache

from gateway.fleet import appliances
from gateway.fleet.appliances import Moment, Power
from gateway.fleet.battery import Battery
from gateway.fleet.noise import between, derive, unit

PANEL_VOLTAGE = 240
"""Volts across a split-phase North American panel."""

_SOLAR_SHARE = 0.35
_BATTERY_SHARE_OF_SOLAR = 0.5
_BASELINE_STEP_S = 300
_BASELINE_STEPS = 6


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit of the panel. `capacity_kw` is the limit of its breaker; only `flexible` circuits shed."""

    id: str
    name: str
    type: str
    capacity_kw: float
    flexible: bool
    power: Power
    enabled: bool = True

    @property
    def priority(self) -> int:
        """1 = keep on; 5 = may be shed."""
        return 5 if self.flexible else 1


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter reading: the power of each circuit in kW (whole watts), their sum, and the battery's charge (0-1)."""

    used_kw: float
    circuits_kw: tuple[float, ...]
    battery_soc: float | None


class Home:
    """Home number `index` of the fleet derived from `seed`."""

    def __init__(self, seed: int, index: int) -> None:
        self._seed = derive(derive(seed, 0), index)
        self.longitude = between(self._seed, 0, -123.0, -121.0)
        self.panel_amps = (100, 150, 200, 200)[int(4 * unit(self._seed, 1))]
        has_solar = unit(self._seed, 2) < _SOLAR_SHARE
        has_battery = has_solar and unit(self._seed, 3) < _BATTERY_SHARE_OF_SOLAR
        self.battery = Battery(between(self._seed, 4, 8.0, 16.0)) if has_battery else None
        self.circuits = self._wire(has_solar=has_solar)
        self._baseline = lru_cache(maxsize=1)(self._mean_before)

    def at(self, t: float) -> Meter:
        """Return the meter reading at `t` (Unix seconds)."""
        moment = Moment.at(t, self.longitude)
        # Adding 0.0 turns the -0.0 of solar panels at night into 0.0.
        circuits = tuple([round(circuit.power(moment), 3) + 0.0 for circuit in self.circuits])
        soc = None if self.battery is None else round(self.battery.soc(moment), 3)
        return Meter(round(sum(circuits), 3) + 0.0, circuits, soc)

    def baseline_kw(self, t: float) -> float:
        """Return the mean used power (kW) of the half hour before `t`, updated every 5 minutes as devices do."""
        return self._baseline(int(t // _BASELINE_STEP_S))

    def _mean_before(self, step: int) -> float:
        used = [self.at((step - back) * _BASELINE_STEP_S).used_kw for back in range(_BASELINE_STEPS)]
        return round(sum(used) / len(used), 3)

    def _wire(self, *, has_solar: bool) -> tuple[Circuit, ...]:
        def circuit(n: int, spec: str, capacity_kw: float, power: Power, *, flexible: bool = False) -> Circuit:
            kind, name = spec.split(" ", 1)
            return Circuit(f"{kind}{n}", name, kind, capacity_kw, flexible, power)

        s = [derive(self._seed, n) for n in range(100, 108)]
        laundry = circuit(1, "dryer Dryer", 7.2, appliances.dryer(s[3], between(s[3], 9, 4.4, 5.6)), flexible=True)
        stove = circuit(1, "range Electric Range", 9.6, appliances.kitchen_range(s[4], between(s[4], 9, 5.0, 8.0)))
        # The panel has eight circuits, so solar homes dry (and with a battery also cook) with gas.
        if has_solar:
            laundry = circuit(1, "pv Solar Panels", 9.6, appliances.solar(s[3], between(s[3], 9, 3.5, 9.0)))
        if self.battery is not None:
            stove = circuit(1, "battery Home Battery", 7.2, self.battery.power, flexible=True)
        return (
            circuit(1, "hvac HVAC", 7.2, appliances.hvac(s[0], between(s[0], 9, 1.8, 4.2)), flexible=True),
            circuit(1, "heater Water Heater", 7.2, appliances.water_heater(s[1], 4.5), flexible=True),
            circuit(1, "ev EV Charger", 12.0, appliances.ev_charger(s[2], (7.2, 9.6)[s[2] & 1]), flexible=True),
            laundry,
            stove,
            circuit(1, "lights Lighting Circuits", 3.6, appliances.lights(s[5], between(s[5], 9, 0.6, 1.6))),
            circuit(1, "outlets General Outlets", 4.8, appliances.outlets(s[6], between(s[6], 9, 1.5, 4.0))),
            circuit(1, "fridge Refrigerator", 1.8, appliances.fridge(s[7], between(s[7], 9, 0.12, 0.2))),
        )
