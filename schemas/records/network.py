"""The records of the live totals: of one partition, and of the whole network."""

from datetime import datetime, timedelta

import msgspec

from schemas.records.telemetry import AwareDatetime, Digest, Int32, Quantity, VenId, astuple, corrected

MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
"""How far the clocks of two workers may differ; totals further in the future are ignored."""

NETWORK_SCOPE = "network"
TYPE_SCOPE = "type:"
"""The scopes of network.stats: the whole network, and each type of load (`type:hvac`)."""


class Totals(msgspec.Struct, frozen=True, rename="camel"):
    """Sums over online VENs, in kW; `online_vens` counts them."""

    online_vens: Int32 = 0
    household_usage_kw: float = 0.0
    current_load_reduction_kw: float = 0.0
    controllable_power_kw: float = 0.0
    potential_load_reduction_kw: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        """Add field by field."""
        return Totals(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class LoadTypeTotals(msgspec.Struct, frozen=True, rename="camel"):
    """Sums over the loads of one type of online VENs, in kW."""

    total_capacity_kw: float = 0.0
    total_shed_capability_kw: float = 0.0
    current_usage_kw: float = 0.0


class TotalsLoad(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The fields of a load that the totals need, in kW."""

    type: str | None = None
    capacity_kw: Quantity | None = None
    current_power_kw: Quantity | None = None
    shed_capability_kw: Quantity | None = None


class TotalsReading(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The fields of a Reading that the totals need. Skipping the others makes decoding three times faster."""

    ven_id: VenId
    timestamp: AwareDatetime
    received_at: AwareDatetime
    used_power_kw: Quantity | None = None
    shed_power_kw: Quantity | None = None
    loads: tuple[TotalsLoad, ...] | None = None
    digest: Digest | None = None
    clock_skew_seconds: float = 0.0

    @property
    def corrected_time(self) -> datetime:
        """When it was measured, by the gateway's clock."""
        return corrected(self.timestamp, self.clock_skew_seconds)


class Partial(msgspec.Struct, frozen=True, rename="camel"):
    """The totals of the VENs in one partition of ven.telemetry.

    `as_of` (UTC) is the receive time up to which they are complete; None for a partition without any record.
    """

    partition: int
    as_of: AwareDatetime | None
    totals: Totals
    load_types: dict[str, LoadTypeTotals] = {}


class NetworkTotals(msgspec.Struct, frozen=True, rename="camel"):
    """The sum of the latest partials; `as_of` is the oldest of theirs."""

    as_of: AwareDatetime
    totals: Totals
    load_types: dict[str, LoadTypeTotals] = {}


class ScopeTotals(msgspec.Struct, frozen=True, rename="camel"):
    """The totals of one type of load, at `as_of` (UTC): the value of the scope `type:<type>`."""

    as_of: AwareDatetime
    totals: LoadTypeTotals


class VenLoads(msgspec.Struct, frozen=True, rename="camel"):
    """The totals of the last list of a VEN's loads, in kW; times in UTC.

    `by_reading` is true if the list came from a reading. At the same time, a reading wins over a snapshot.
    """

    ven_id: VenId
    measured_at: AwareDatetime
    by_reading: bool
    received_at: AwareDatetime
    controllable_kw: float
    potential_kw: float
    types: dict[str, LoadTypeTotals]


class Heartbeat(msgspec.Struct, frozen=True, rename="camel"):
    """Everything that the bridge received by `at` (UTC) for this partition of ven.telemetry has been validated."""

    at: AwareDatetime


class Disabled(msgspec.Struct, frozen=True, rename="camel"):
    """An operator disabled this VEN. A tombstone means that it is enabled again."""

    ven_id: VenId


decode_totals_reading = msgspec.json.Decoder(TotalsReading).decode
decode_partial = msgspec.json.Decoder(Partial).decode
decode_network_totals = msgspec.json.Decoder(NetworkTotals).decode
decode_ven_loads = msgspec.json.Decoder(VenLoads).decode
decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
