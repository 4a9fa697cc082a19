"""Each VEN's share of what an event asks for: in proportion to what it can shed now, and never more. No I/O.

The rule, for R kW over n VENs of which k report a capability c:

    unknown:  R / n
    known:    a share of R * k / n, in proportion to w = min(c, 2 * median of all c above 0)

If the VENs cannot carry it by their w, each is asked for all of w, and what remains is shared in proportion to c - w.
VENs with unknown capability get an equal share.

So no VEN is asked for much more than the others while these can carry the request: one VEN that claims too much, among
n that can shed the same, gets at most 2 / (n + 2) of it, whatever it claims (winsorized weights). The share of a late
joiner is computed over all participants and all VENs that join with it, and no other share changes. Computed over the
participants of the start alone, an event that began with few VENs would ask late joiners for many times the request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum
from statistics import median_low
from typing import NamedTuple

LARGEST_WEIGHT = 2.0
"""The largest weight of a VEN, in medians of all capabilities."""

PROPORTIONAL = "proportional"
FULL_CAPABILITY = "full_capability"  # all VENs together can shed less than the request
NOTHING_TO_SHED = "nothing_to_shed"
UNKNOWN = "unknown_capability"

_DIGITS = 6
"""Decimals of a kW: no meter shows less than a milliwatt, and people read these numbers."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals over the VENs of an event: how many, how many with a known capability, and sums over these in kW.

    `largest_kw` is the largest weight of a VEN, `weight_kw` the sum of the weights.
    """

    vens: int
    known: int
    capability_kw: float
    largest_kw: float
    weight_kw: float

    @classmethod
    def of(cls, capabilities: Iterable[float | None]) -> "Totals":
        """Add up VENs; None is a VEN with unknown capability."""
        vens = list(capabilities)
        known = [capability for capability in vens if capability is not None]
        able = [capability for capability in known if capability > 0]
        largest = LARGEST_WEIGHT * median_low(able) if able else 0.0
        weight = fsum(min(capability, largest) for capability in able)
        return cls(len(vens), len(known), fsum(able), largest, weight)


class Share(NamedTuple):
    """What one VEN is asked for, in kW, and the reason."""

    kw: float
    reason: str


def share_of(requested_kw: float, totals: Totals, capability_kw: float | None) -> Share:
    """Return the share of a VEN that the totals include; above 0 if it can shed anything."""
    if capability_kw is None:
        return Share(_rounded(requested_kw / totals.vens), UNKNOWN)
    if capability_kw <= 0:
        return Share(0.0, NOTHING_TO_SHED)
    asked_of_known = requested_kw * totals.known / totals.vens
    if asked_of_known >= totals.capability_kw:
        return Share(capability_kw, FULL_CAPABILITY)
    weight = min(capability_kw, totals.largest_kw)
    rest = asked_of_known - totals.weight_kw
    if rest <= 0:
        kw = asked_of_known * weight / totals.weight_kw
    else:
        kw = weight + rest * (capability_kw - weight) / (totals.capability_kw - totals.weight_kw)
    return Share(min(capability_kw, _rounded(kw)), PROPORTIONAL)


def _rounded(kw: float) -> float:
    # The share of a large fleet may be smaller than what rounding leaves.
    return round(kw, _DIGITS) or kw
