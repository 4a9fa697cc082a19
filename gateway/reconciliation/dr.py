"""Reconciles the commands of a DR event: every VEN received one event command and one restore."""

from collections.abc import Collection
from dataclasses import asdict, dataclass

from gateway.fleet import DrLedger
from schemas.dr.commands import EVENT, RESTORE


@dataclass(frozen=True, slots=True)
class DrReconciliation:
    """How many VENs received the event command (`commanded`) and the restore (`restored`), and what went wrong.

    `repeated` counts commands beyond one for each VEN and phase; each repeat would shed again. A VEN that had a power
    cut may receive a second revision. `missed` VENs were online and received nothing. `unrestored` VENs received the
    event command and no restore.
    """

    commanded: int
    restored: int
    repeated: int
    missed: int
    unrestored: int

    @property
    def passed(self) -> bool:
        """Whether every VEN received each command exactly once."""
        return not (self.repeated or self.missed or self.unrestored)

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def reconcile_dr(ledger: DrLedger, event_id: str, online: Collection[str], *, completed: bool) -> DrReconciliation:
    """Count what a fleet received for an event.

    `online` are the VENs that were online when the event began. Restores are only expected once it is `completed`.
    """
    commanded, restored = ledger.command_counts(event_id, EVENT), ledger.command_counts(event_id, RESTORE)
    allowed = {ven_id: 1 + len(ledger.power_cuts.get(ven_id, ())) for ven_id in commanded}
    return DrReconciliation(
        commanded=len(commanded),
        restored=len(restored),
        repeated=sum(max(0, number - allowed[ven_id]) for ven_id, number in commanded.items())
        + sum(number - 1 for number in restored.values()),
        missed=len(set(online) - commanded.keys()),
        unrestored=len(commanded.keys() - restored.keys()) if completed else 0,
    )


def online_at(ledger: DrLedger, time_ms: int) -> set[str]:
    """Return the VENs that had published a sample by then (Unix milliseconds)."""
    return {
        ven_id for ven_id in ledger.ven_ids() if any(sample.time_ms <= time_ms for sample in ledger.samples(ven_id))
    }
