"""The figures of `gateway bench backpressure`."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.bench.backlog import BacklogSample
from gateway.reconciliation.telemetry import Reconciliation

MOST_MB = 250
_COMMITS = 3


class CommitRate:
    """How much was stored when; rows are committed many at once, so a rate is told from commit to commit."""

    def __init__(self, warm_up: float) -> None:
        self._warm_up = warm_up
        self._stored = 0
        self._commits: list[tuple[float, int]] = []

    def note(self, seconds: float, stored: int) -> None:
        """Record the number of samples stored after `seconds`."""
        if stored > self._stored and seconds >= self._warm_up:
            self._commits.append((seconds, stored))
        self._stored = max(self._stored, stored)

    @property
    def per_second(self) -> float | None:
        """The rate from the first to the last commit seen; None while there are too few."""
        if len(self._commits) < _COMMITS:
            return None
        (begun, first), (ended, last) = self._commits[0], self._commits[-1]
        return (last - first) / (ended - begun)


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """Seconds from the last publish until the bridge, live totals and rows had everything; and the maximum ages."""

    bridge_s: float
    live_s: float
    rows_s: float
    live_age_s: float
    rows_age_s: float

    @classmethod
    def of(cls, samples: Sequence[BacklogSample], everything: int, *, since: float) -> "DrainTimes":
        """Summarize samples, the last of which found everything stored.

        The live totals are complete once they are newer than the moment when the bridge had everything.
        """
        received = next(sample.at for sample in samples if sample.received >= everything)
        live = next(sample.at for sample in samples if sample.live_as_of >= received)
        rows = next(sample.at for sample in samples if sample.stored >= everything)
        waited = [sample for sample in samples if sample.stored < everything] or samples[:1]
        return cls(
            received - since,
            live - since,
            rows - since,
            max(sample.live_age_s for sample in waited),
            max(sample.rows_age_s for sample in waited),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackpressureMetrics:
    """The result. `in_mqtt`, `in_log` and `waiting` (records, by role) are of the end of the overload.

    `speed` is the share of the time in which our processes ran; `ours` and `servers` are peak resident MB.
    """

    vens: int
    seconds: float
    speed: float
    sustained_per_s: float
    offered_per_s: float
    messages: int
    in_mqtt: int
    in_log: int
    waiting: Mapping[str, int]
    drained: DrainTimes
    ours: Mapping[str, float]
    servers: Mapping[str, float]
    reconciliation: Reconciliation

    @property
    def times(self) -> float:
        """The offered rate as a multiple of the sustained rate."""
        return self.offered_per_s / self.sustained_per_s

    @property
    def too_large(self) -> list[str]:
        """The names of our processes that used more than `MOST_MB`."""
        return [name for name, peak in self.ours.items() if peak > MOST_MB]

    def as_dict(self) -> dict[str, Any]:
        """Return rounded figures, by name."""
        drained = self.drained
        return {
            "vens": self.vens,
            "seconds": self.seconds,
            "speed": round(self.speed, 3),
            "sustained_per_s": round(self.sustained_per_s, 1),
            "offered_per_s": round(self.offered_per_s, 1),
            "times": round(self.times, 2),
            "messages": self.messages,
            "backlog": {"mqtt": self.in_mqtt, "log": self.in_log, "waiting": dict(self.waiting)},
            "drained": {
                "bridge_s": round(drained.bridge_s, 1),
                "live_s": round(drained.live_s, 1),
                "rows_s": round(drained.rows_s, 1),
                "live_age_s": round(drained.live_age_s, 1),
                "rows_age_s": round(drained.rows_age_s, 1),
            },
            "processes": {name: {"peak_mb": round(peak, 1)} for name, peak in {**self.ours, **self.servers}.items()},
            "within_memory": not self.too_large,
            "lost": self.reconciliation.lost,
            "duplicated": self.reconciliation.duplicated,
        }


def print_metrics(metrics: BackpressureMetrics, *, as_json: bool) -> None:
    """Print tables, or one JSON object."""
    if as_json:
        sys.stdout.write(json.dumps(metrics.as_dict()) + "\n")
        return
    console, drained = Console(), metrics.drained
    console.print(
        f"{metrics.sustained_per_s:.0f} messages/s are sustained "
        f"while our processes run {metrics.speed:.1%} of the time; "
        f"{metrics.offered_per_s:.0f} were offered for {metrics.seconds:.0f} s, {metrics.times:.1f} times as many",
        highlight=False,
    )
    table = Table(title="peak memory")
    table.add_column("process")
    table.add_column("MB", justify="right")
    for name, peak in [*metrics.ours.items(), *metrics.servers.items()]:
        table.add_row(name, f"{peak:.0f}")
    console.print(table)
    above = metrics.too_large
    console.print(
        f"above {MOST_MB} MB: {', '.join(above)}" if above else f"each of our processes is below {MOST_MB} MB"
    )
    waiting = ", ".join(f"{name} {records}" for name, records in metrics.waiting.items())
    console.print(
        f"at the end of the overload, {metrics.in_mqtt} messages were in the MQTT broker and {metrics.in_log} in Kafka "
        f"(lag: {waiting})",
        highlight=False,
    )
    console.print(
        f"at full speed, the bridge had all after {drained.bridge_s:.0f} s, live totals after {drained.live_s:.0f} s "
        f"(at most {drained.live_age_s:.0f} s old), the rows after {drained.rows_s:.0f} s "
        f"(at most {drained.rows_age_s:.0f} s)",
        highlight=False,
    )
    console.print(f"lost {metrics.reconciliation.lost}, duplicated {metrics.reconciliation.duplicated}")
