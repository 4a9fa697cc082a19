"""Each VEN's share of what an event asks for: in proportion to what it can shed now, and never more. No I/O.

The rule, for R kW over n VENs of which k have told what they can shed, C kW together:

    unknown:  R / n
    known:    c * min(1, (R * k / n) / C)          c being what this VEN can shed

So those who have told nothing get an equal share, and what the others are asked for is in proportion among them. Late
joiners are figured as if they had been there, with all who are and all who join with them, and nobody else's share
changes. Were each figured with those of the start alone, an event that began with few, because most were busy or nobody
was heard yet, would ask for many times what it is to be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

PROPORTIONAL = "proportional"
ALL_IT_CAN = "all_it_can"  # together they can shed less than what is asked for
NOTHING_TO_SHED = "nothing_to_shed"
UNKNOWN = "unknown_capability"

_DIGITS = 6
"""Of a kW: no meter shows less than a milliwatt, and people read these."""


@dataclass(frozen=True, slots=True)
class ParticipantTotals:
    """What shares are figured from: how many VENs, how many of them have told what they can shed, and that in kW."""

    vens: int = 0
    known: int = 0
    capability_kw: float = 0.0

    @classmethod
    def of(cls, capabilities: Iterable[float | None]) -> "ParticipantTotals":
        """Add up VENs; None is one that has told nothing."""
        all_of_them = list(capabilities)
        known = [capability for capability in all_of_them if capability is not None]
        return cls(len(all_of_them), len(known), sum(known))

    def including(self, capabilities: Iterable[float | None]) -> "ParticipantTotals":
        """Return the basis with some VENs more."""
        more = ParticipantTotals.of(capabilities)
        return ParticipantTotals(
            self.vens + more.vens, self.known + more.known, self.capability_kw + more.capability_kw
        )


class Share(NamedTuple):
    """What one VEN is asked for, in kW, and how that came about."""

    kw: float
    reason: str


def share_of(requested_kw: float, basis: ParticipantTotals, capability_kw: float | None) -> Share:
    """Return the share of a VEN that is part of the basis."""
    if capability_kw is None:
        return Share(round(requested_kw / basis.vens, _DIGITS), UNKNOWN)
    if capability_kw <= 0:
        return Share(0.0, NOTHING_TO_SHED)
    asked_of_known = requested_kw * basis.known / basis.vens
    if asked_of_known >= basis.capability_kw:
        return Share(capability_kw, ALL_IT_CAN)
    kw = round(capability_kw * asked_of_known / basis.capability_kw, _DIGITS)
    return Share(min(capability_kw, kw), PROPORTIONAL)
