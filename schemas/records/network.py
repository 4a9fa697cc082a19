"""Live network totals: what one partition's VENs add up to, and what all partitions do."""

from datetime import timedelta

import msgspec

from schemas.records.telemetry import AwareDatetime, Int32, Quantity, VenId, astuple

MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
"""What the clocks of two workers may differ by: totals of a later time are nobody's."""

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
    """What the totals need of one load, in kW."""

    type: str | None = None
    capacity_kw: Quantity | None = None
    current_power_kw: Quantity | None = None
    shed_capability_kw: Quantity | None = None


class TotalsReading(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What the totals need of a Reading; all else of it is passed over, which takes a third of the time."""

    ven_id: VenId
    timestamp: AwareDatetime
    received_at: AwareDatetime
    used_power_kw: Quantity | None = None
    shed_power_kw: Quantity | None = None
    loads: tuple[TotalsLoad, ...] | None = None


class Partial(msgspec.Struct, frozen=True, rename="camel"):
    """What the VENs of one partition of ven.telemetry add up to.

    `as_of` (UTC) is how far the pipeline has come with the partition; None when nothing ever came through it.
    """

    partition: int
    as_of: AwareDatetime | None
    totals: Totals
    load_types: dict[str, LoadTypeTotals] = {}


class NetworkTotals(msgspec.Struct, frozen=True, rename="camel"):
    """The sum of the latest partials; `as_of` is the oldest of theirs, so the figures are at least that fresh."""

    as_of: AwareDatetime
    totals: Totals
    load_types: dict[str, LoadTypeTotals] = {}


class ScopeTotals(msgspec.Struct, frozen=True, rename="camel"):
    """The totals of one type of load, at `as_of` (UTC): the value of the scope `type:<type>`."""

    as_of: AwareDatetime
    totals: LoadTypeTotals


class VenLoads(msgspec.Struct, frozen=True, rename="camel"):
    """What the last list of a VEN's loads adds up to, in kW; times in UTC.

    `by_reading` tells whether a reading brought it: of a reading and a snapshot of the same time the reading counts.
    """

    ven_id: VenId
    measured_at: AwareDatetime
    by_reading: bool
    received_at: AwareDatetime
    controllable_kw: float
    potential_kw: float
    types: dict[str, LoadTypeTotals]


class Heartbeat(msgspec.Struct, frozen=True, rename="camel"):
    """All that the bridge had received by `at` (UTC) for this partition of ven.telemetry has come through."""

    at: AwareDatetime


class Disabled(msgspec.Struct, frozen=True, rename="camel"):
    """An operator has taken this VEN out of service; when it is back, its key has an empty value."""

    ven_id: VenId


decode_totals_reading = msgspec.json.Decoder(TotalsReading).decode
decode_partial = msgspec.json.Decoder(Partial).decode
decode_network_totals = msgspec.json.Decoder(NetworkTotals).decode
decode_ven_loads = msgspec.json.Decoder(VenLoads).decode
decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
