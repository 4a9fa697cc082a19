"""The canonical records of what VENs measure, for analytics consumers and for the tables."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from zlib import crc32

import msgspec

# `gc=False` below: decoded JSON has no reference cycles, so the garbage collector can skip these objects.

astuple = msgspec.structs.astuple

MAX_MAGNITUDE = 1e9

Quantity = Annotated[float, msgspec.Meta(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)]
"""A power, current or voltage; bounded, so that the sum over any fleet is finite."""

AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone."""

VenId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
LoadId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31) + 1, le=2**31 - 1)]
Digest = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63) + 1, le=2**63 - 1)]


class Load(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False, eq=False):
    """One load of a VEN. Power in kW; `current_power_kw` is negative if the load produces power (PV)."""

    id: LoadId
    name: str | None = None
    type: str | None = None
    capacity_kw: Quantity | None = None
    current_power_kw: Quantity | None = None
    shed_capability_kw: Quantity | None = None
    enabled: bool = True
    priority: Int32 | None = None
    extra: dict[str, Any] | None = None

    def __eq__(self, other: object) -> bool:
        """Compare field by field, also with subclasses."""
        return isinstance(other, Load) and astuple(self) == astuple(other)

    def __hash__(self) -> int:
        """Hash the id, which equal loads share."""
        return hash(self.id)


class Reading(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One metering sample of one VEN, identified by (ven_id, timestamp).

    Power in kW (`used_power_kw` is net grid import), `battery_soc` from 0 to 1, currents in A, panel voltage in V.
    `timestamp` is the event time, `received_at` the receive time, both UTC. `clock_skew_seconds` is what to add to
    `timestamp` to get the gateway's time: 0 while the VEN's clock seems right.
    `loads` is None if the sample has no list of loads, and empty if its list is empty. `digest` is the CRC-32 of all
    other fields except `received_at` and the clock skew: two records with one key and one digest are duplicates. A
    replay of a dead letter has none.
    """

    ven_id: VenId
    timestamp: AwareDatetime
    received_at: AwareDatetime
    used_power_kw: Quantity | None = None
    shed_power_kw: Quantity | None = None
    requested_reduction_kw: Quantity | None = None
    event_id: str | None = None
    baseline_power_kw: Quantity | None = None
    battery_soc: Quantity | None = None
    panel_amperage_rating: Quantity | None = None
    panel_voltage: Quantity | None = None
    panel_max_kw: Quantity | None = None
    current_amps: Quantity | None = None
    panel_utilization_percent: Quantity | None = None
    message_num: Int64 | None = None
    loads: tuple[Load, ...] | None = None
    extra: dict[str, Any] | None = None
    digest: Digest | None = None
    clock_skew_seconds: float = 0.0

    @property
    def corrected_time(self) -> datetime:
        """When it was measured, by the gateway's clock."""
        return corrected(self.timestamp, self.clock_skew_seconds)

    @property
    def states_shedding(self) -> bool:
        """Whether it says what the VEN sheds: it tells the shed power, or names an event."""
        return self.shed_power_kw is not None or self.event_id is not None


class LoadSnapshot(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, gc=False):
    """All loads of one VEN at one time, identified by (ven_id, timestamp); `digest` and clock skew as in Reading."""

    ven_id: VenId
    timestamp: AwareDatetime
    received_at: AwareDatetime
    loads: tuple[Load, ...]
    digest: Digest | None = None
    clock_skew_seconds: float = 0.0

    @property
    def corrected_time(self) -> datetime:
        """When it was measured, by the gateway's clock."""
        return corrected(self.timestamp, self.clock_skew_seconds)


class FaultReport(msgspec.Struct, frozen=True, rename="camel"):
    """A fault that a VEN reports about itself; it is not a reading."""

    ven_id: VenId
    timestamp: AwareDatetime
    received_at: AwareDatetime
    error: str


def corrected(time: datetime, clock_skew_seconds: float) -> datetime:
    """Return a VEN's time by the gateway's clock."""
    return time + timedelta(seconds=clock_skew_seconds) if clock_skew_seconds else time


encode_record = msgspec.json.Encoder().encode
decode_reading = msgspec.json.Decoder(Reading).decode
decode_snapshot = msgspec.json.Decoder(LoadSnapshot).decode
decode_fault = msgspec.json.Decoder(FaultReport).decode

_RECEIVED_AT = b'"receivedAt":"'


def encode_measurement(record: Reading | LoadSnapshot, clock_skew_seconds: float, *, is_replay: bool = False) -> bytes:
    """Encode a record that has neither a digest nor a clock skew yet, and add both; a replay gets no digest."""
    value = encode_record(record)
    skew = b',"clockSkewSeconds":%.3f' % clock_skew_seconds if clock_skew_seconds else b""
    if is_replay:
        return b"%b%b}" % (value[:-1], skew)
    # No other field can contain this name, because quotes inside a text are escaped.
    start = value.index(_RECEIVED_AT)
    end = value.index(b'"', start + len(_RECEIVED_AT))
    digest = crc32(memoryview(value)[end:], crc32(memoryview(value)[:start]))
    return b'%b,"digest":%d%b}' % (value[:-1], digest, skew)
