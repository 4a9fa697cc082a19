"""Each VEN's share of what an event asks for: in proportion to what it can shed now, and never more. No I/O.

The rule, for R kW over n VENs of which k report a capability, C kW in total:

    unknown:  R / n
    known:    c * min(1, (R * k / n) / C)          c is what this VEN can shed

VENs with unknown capability get an equal share; the others share the rest in proportion to their capability. The
share of a late joiner is computed over all participants and all VENs that join with it, and no other share changes.
Computed over the participants of the start alone, an event that began with few VENs would ask late joiners for many
times the request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

PROPORTIONAL = "proportional"
FULL_CAPABILITY = "full_capability"  # all VENs together can shed less than the request
NOTHING_TO_SHED = "nothing_to_shed"
UNKNOWN = "unknown_capability"

_DIGITS = 6
"""Decimals of a kW: no meter shows less than a milliwatt, and people read these numbers."""


@dataclass(frozen=True, slots=True)
class ParticipantTotals:
    """Totals over the participants: how many, how many with a known capability, and the sum of these in kW."""

    vens: int = 0
    known: int = 0
    capability_kw: float = 0.0

    @classmethod
    def of(cls, capabilities: Iterable[float | None]) -> "ParticipantTotals":
        """Add up VENs; None is a VEN with unknown capability."""
        all_of_them = list(capabilities)
        known = [capability for capability in all_of_them if capability is not None]
        return cls(len(all_of_them), len(known), sum(known))

    def including(self, capabilities: Iterable[float | None]) -> "ParticipantTotals":
        """Return the totals with some more VENs."""
        more = ParticipantTotals.of(capabilities)
        return ParticipantTotals(
            self.vens + more.vens, self.known + more.known, self.capability_kw + more.capability_kw
        )


class Share(NamedTuple):
    """What one VEN is asked for, in kW, and the reason."""

    kw: float
    reason: str


def share_of(requested_kw: float, totals: ParticipantTotals, capability_kw: float | None) -> Share:
    """Return the share of a VEN that the totals include."""
    if capability_kw is None:
        return Share(round(requested_kw / totals.vens, _DIGITS), UNKNOWN)
    if capability_kw <= 0:
        return Share(0.0, NOTHING_TO_SHED)
    asked_of_known = requested_kw * totals.known / totals.vens
    if asked_of_known >= totals.capability_kw:
        return Share(capability_kw, FULL_CAPABILITY)
    kw = round(capability_kw * asked_of_known / totals.capability_kw, _DIGITS)
    return Share(min(capability_kw, kw), PROPORTIONAL)
