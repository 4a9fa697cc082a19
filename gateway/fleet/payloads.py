"""The MQTT payloads of a home: the metering sample, with fields in both spellings, and the load snapshot."""

import msgspec

from gateway.fleet.device import NO_EVENT, EventReport
from gateway.fleet.home import PANEL_VOLTAGE, Circuit, Home, Meter

_encoder = msgspec.json.Encoder()


class Load(msgspec.Struct, rename="camel"):
    """One circuit in a payload; power in kW."""

    id: str
    name: str
    type: str
    capacity_kw: float
    current_power_kw: float
    shed_capability_kw: float
    enabled: bool
    priority: int


class MeteringSample(msgspec.Struct, rename="camel", kw_only=True):
    """A metering sample. Times are Unix seconds, or milliseconds when a home sends several samples a second."""

    schema_version: str = "1.0"
    ven_id: str
    timestamp: int
    used_power_kw: float
    shed_power_kw: float = 0.0
    requested_reduction_kw: float = 0.0
    event_id: str | None = None
    baseline_power_kw: float
    battery_soc: float | msgspec.UnsetType = msgspec.UNSET
    panel_amperage_rating: int
    panel_voltage: int = PANEL_VOLTAGE
    panel_max_kw: float
    current_amps: float
    panel_utilization_percent: float
    message_num: int = msgspec.field(name="message_num")
    loads: list[Load]
    power_kw: float = msgspec.field(name="power_kw")
    shed_kw: float = msgspec.field(name="shed_kw", default=0.0)
    base_power_kw: float = msgspec.field(name="base_power_kw")
    ts: int
    active_event: str | None = msgspec.field(name="active_event", default=None)


class LoadSnapshot(msgspec.Struct, rename="camel", kw_only=True):
    """The state of all circuits of a home at one time."""

    schema_version: str = "1.0"
    ven_id: str
    timestamp: int
    loads: list[Load]


def metering(
    ven_id: str,
    home: Home,
    meter: Meter,
    *,
    stamp: int,
    baseline_kw: float,
    number: int,
    circuits: tuple[Circuit, ...] | None = None,
    report: EventReport = NO_EVENT,
) -> bytes:
    """Return the metering sample of `meter` with the timestamp `stamp` and the message number `number`.

    `circuits` are the home's circuits as changed by commands; None when they are unchanged.
    """
    panel_max_kw = home.panel_amps * PANEL_VOLTAGE / 1000
    drawn_kw = abs(meter.used_kw)  # current has no sign
    return _encoder.encode(
        MeteringSample(
            ven_id=ven_id,
            timestamp=stamp,
            used_power_kw=meter.used_kw,
            shed_power_kw=report.shed_kw,
            requested_reduction_kw=report.requested_kw,
            event_id=report.event_id,
            baseline_power_kw=baseline_kw,
            battery_soc=msgspec.UNSET if meter.battery_soc is None else meter.battery_soc,
            panel_amperage_rating=home.panel_amps,
            panel_max_kw=panel_max_kw,
            current_amps=round(drawn_kw * 1000 / PANEL_VOLTAGE, 2),
            panel_utilization_percent=round(100 * drawn_kw / panel_max_kw, 1),
            message_num=number,
            loads=_loads(circuits or home.circuits, meter),
            power_kw=meter.used_kw,
            shed_kw=report.shed_kw,
            base_power_kw=baseline_kw,
            ts=stamp,
            active_event=report.event_id,
        )
    )


def load_snapshot(ven_id: str, circuits: tuple[Circuit, ...], meter: Meter, *, stamp: int) -> bytes:
    """Return the load snapshot of `meter` with the timestamp `stamp`."""
    return _encoder.encode(LoadSnapshot(ven_id=ven_id, timestamp=stamp, loads=_loads(circuits, meter)))


def _loads(circuits: tuple[Circuit, ...], meter: Meter) -> list[Load]:
    return [
        Load(
            circuit.id,
            circuit.name,
            circuit.type,
            circuit.capacity_kw,
            kw,
            # A flexible circuit can shed all the power that it draws; feeding in cannot be shed.
            max(0.0, kw) if circuit.flexible else 0.0,
            enabled=circuit.enabled,
            priority=circuit.priority,
        )
        for circuit, kw in zip(circuits, meter.circuits_kw, strict=True)
    ]
