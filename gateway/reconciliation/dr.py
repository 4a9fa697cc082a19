"""Whether the DR side of the books balances: what a fleet was told of an event, by its own count."""

from collections.abc import Collection
from dataclasses import asdict, dataclass

from gateway.fleet import DrLedger
from schemas.dr.commands import EVENT, RESTORE


@dataclass(frozen=True, slots=True)
class DrReconciliation:
    """How many VENs `told` and `restored` were, and what should be 0.

    `repeated` are commands beyond one for each VEN and phase, each of which would shed again; a VEN that had a power
    cut may be told once more. `untold` were online and heard nothing, `unrestored` were told and not restored.
    """

    told: int
    restored: int
    repeated: int
    untold: int
    unrestored: int

    @property
    def passed(self) -> bool:
        """Whether every VEN was told once, and restored once."""
        return not (self.repeated or self.untold or self.unrestored)

    def as_dict(self) -> dict[str, int]:
        """Return the figures by name."""
        return asdict(self)


def reconcile_dr(ledger: DrLedger, event_id: str, online: Collection[str], *, over: bool) -> DrReconciliation:
    """Count what the fleet was told of an event; `online` VENs were so when it began, and `over` says that it ended."""
    told, restored = ledger.told(event_id, EVENT), ledger.told(event_id, RESTORE)
    allowed = {ven_id: 1 + len(ledger.power_cuts.get(ven_id, ())) for ven_id in told}
    return DrReconciliation(
        told=len(told),
        restored=len(restored),
        repeated=sum(max(0, number - allowed[ven_id]) for ven_id, number in told.items())
        + sum(number - 1 for number in restored.values()),
        untold=len(set(online) - told.keys()),
        unrestored=len(told.keys() - restored.keys()) if over else 0,
    )


def online_at(ledger: DrLedger, time_ms: int) -> set[str]:
    """Return the VENs that had published something by then (Unix milliseconds)."""
    return {ven_id for ven_id in ledger.vens() if any(sample.time_ms <= time_ms for sample in ledger.samples(ven_id))}
