"""What an event came to by the fleet's own ledger: worked out plainly from the contract, apart from the gateway's SQL.

A VEN's shed at a moment is what its latest sample says that names the event, for 20 minutes at most; a sample of
another event or of none is 0, and so is whatever was before the first one. Times are Unix seconds, power is kW.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from gateway.fleet import DrLedger

Phase = tuple[str, str]
"""A VEN's id, and the op that it was told."""


@dataclass(frozen=True)
class Outcome:
    """Per VEN, over the event: mean reduction (kW), energy (kWh), and for which share of it samples tell so (0-1)."""

    mean_kw: dict[str, float]
    energy_kwh: dict[str, float]
    covered: dict[str, float]

    @property
    def reduction_kw(self) -> float:
        return sum(self.mean_kw.values())

    @property
    def delivered_kwh(self) -> float:
        return sum(self.energy_kwh.values())

    @property
    def covered_share(self) -> float:
        return sum(self.covered.values()) / len(self.covered)


def commands_of(ledger: DrLedger, event_id: str) -> Counter[Phase]:
    """How many commands each VEN received for an event, by op."""
    return Counter(
        (ven_id, command.op or "")
        for ven_id, commands in ledger.commands.items()
        for command in commands
        if command.event_id == event_id and not command.redelivered
    )


def reduction_at(ledger: DrLedger, event_id: str, at: float, *, accepted_only: bool = True) -> float:
    """The reduction of all VENs together at a moment."""
    return sum(
        next((kw for begins, ends, kw in _steps(ledger, ven_id, event_id, accepted_only) if begins <= at < ends), 0.0)
        for ven_id in ledger.ven_ids()
    )


def outcome_of(
    ledger: DrLedger,
    event_id: str,
    start: float,
    end: float,
    *,
    hold: float = 1200.0,
    vens: Iterable[str] | None = None,
) -> Outcome:
    """What VENs (by default all) did over [start, end); a sample holds for at most `hold` seconds."""
    mean_kw, energy_kwh, covered = {}, {}, {}
    for ven_id in ledger.ven_ids() if vens is None else vens:
        kw_seconds = told_seconds = 0.0
        for begins, ends, kw in _steps(ledger, ven_id, event_id, accepted_only=True):
            held = _overlap(begins, min(ends, begins + hold), start, end)
            kw_seconds += kw * held
            told_seconds += held
        mean_kw[ven_id] = kw_seconds / (end - start)
        energy_kwh[ven_id] = kw_seconds / 3600
        covered[ven_id] = told_seconds / (end - start)
    return Outcome(mean_kw, energy_kwh, covered)


def _steps(
    ledger: DrLedger,
    ven_id: str,
    event_id: str,
    accepted_only: bool,  # noqa: FBT001
) -> Iterator[tuple[float, float, float]]:
    """From when until when a VEN shed how much for the event: each sample until the next, the last one for ever."""
    samples = sorted(ledger.samples(ven_id, accepted_only=accepted_only))
    times = [sample.time_ms / 1000 for sample in samples] + [float("inf")]
    for (begins, ends), sample in zip(pairwise(times), samples, strict=True):
        yield begins, ends, sample.shed_kw if sample.event_id == event_id else 0.0


def _overlap(begins: float, ends: float, start: float, end: float) -> float:
    return max(0.0, min(ends, end) - max(begins, start))
