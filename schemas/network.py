"""Live network totals: what one partition's VENs add up to, and what all partitions do."""

from datetime import timedelta

import msgspec

from schemas.readings import Moment

CLOCKS_APART = timedelta(minutes=1)
"""What the clocks of two workers may differ by: totals of a later time are nobody's."""


class Totals(msgspec.Struct, frozen=True, rename="camel"):
    """Sums over online VENs, in kW; `online_vens` counts them."""

    online_vens: int = 0
    household_usage_kw: float = 0.0
    current_load_reduction_kw: float = 0.0
    controllable_power_kw: float = 0.0
    potential_load_reduction_kw: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        """Add field by field."""
        return Totals(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


astuple = msgspec.structs.astuple


class Partial(msgspec.Struct, frozen=True, rename="camel"):
    """What the VENs of one partition of ven.telemetry add up to at `as_of` (UTC)."""

    partition: int
    as_of: Moment
    totals: Totals


class NetworkTotals(msgspec.Struct, frozen=True, rename="camel"):
    """The sum of the latest partials; `as_of` is the oldest of theirs, so the figures are at least that fresh."""

    as_of: Moment
    totals: Totals


decode_partial = msgspec.json.Decoder(Partial).decode
decode_network_totals = msgspec.json.Decoder(NetworkTotals).decode
