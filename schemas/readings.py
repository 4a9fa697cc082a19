"""The canonical metering record: what analytics consumers read from the log and what the tables hold."""

from datetime import datetime
from typing import Any

import msgspec


class Load(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One circuit of a home. Power in kW; `current_power_kw` is negative where the circuit produces (PV)."""

    id: str
    name: str | None = None
    type: str | None = None
    capacity_kw: float | None = None
    current_power_kw: float | None = None
    shed_capability_kw: float | None = None
    enabled: bool = True
    priority: int | None = None
    extra: dict[str, Any] | None = None


class Reading(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One metering sample of one VEN, identified by (ven_id, timestamp).

    Power in kW (`used_power_kw` is net grid import), `battery_soc` from 0 to 1, currents in A, panel voltage in V.
    `timestamp` is when it was measured, `received_at` when the gateway received it, both UTC.
    `loads` is None when the sample said nothing about its circuits, and empty when it said there are none.
    """

    ven_id: str
    timestamp: datetime
    received_at: datetime
    used_power_kw: float | None = None
    shed_power_kw: float | None = None
    requested_reduction_kw: float | None = None
    event_id: str | None = None
    baseline_power_kw: float | None = None
    battery_soc: float | None = None
    panel_amperage_rating: float | None = None
    panel_voltage: float | None = None
    panel_max_kw: float | None = None
    current_amps: float | None = None
    panel_utilization_percent: float | None = None
    message_num: int | None = None
    loads: tuple[Load, ...] | None = None
    extra: dict[str, Any] | None = None


class FaultReport(msgspec.Struct, frozen=True, rename="camel"):
    """A VEN's own report that something is wrong with it: not a reading."""

    ven_id: str
    timestamp: datetime
    received_at: datetime
    error: str


encode_record = msgspec.json.Encoder().encode
decode_reading = msgspec.json.Decoder(Reading).decode
decode_fault = msgspec.json.Decoder(FaultReport).decode
