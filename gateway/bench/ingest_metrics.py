"""The result of `gateway bench ingest`: medians over runs, and ratios to the baseline."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.bench.run import Cost, Run


@dataclass(frozen=True, slots=True)
class IngestMetrics:
    """All runs; `baseline` is empty, or has one run for each run of the gateway."""

    messages: int
    vens: int
    gateway: Sequence[Run]
    baseline: Sequence[Run]
    bytes_per_message: float

    def as_dict(self) -> dict[str, Any]:
        """Return medians, and with a baseline the medians of the ratios of each pair."""
        metrics = {"messages": self.messages, "vens": self.vens, **_medians(self.gateway)}
        metrics["bytes_per_message"] = round(self.bytes_per_message)
        if self.baseline:
            pairs = list(zip(self.gateway, self.baseline, strict=True))
            metrics["baseline"] = _medians(self.baseline)
            cpu = (ours.cpu_s_per_million / its.cpu_s_per_million for ours, its in pairs)
            rate = (ours.messages_per_s / its.messages_per_s for ours, its in pairs)
            metrics["ratio_cpu"], metrics["ratio_rate"] = round(median(cpu), 2), round(median(rate), 2)
        published = [run.published for run in [*self.gateway, *self.baseline]]
        metrics["generator"] = {
            "cpu_s_per_million": round(median(one.cpu_s * 1e6 / one.messages for one in published), 1),
            "busy_share": round(max(one.cpu_s / one.seconds for one in published), 2),
        }
        metrics["lost"] = sum(run.reconciliation.lost for run in self.gateway)
        metrics["duplicated"] = sum(run.reconciliation.duplicated for run in self.gateway)
        return metrics


def print_metrics(metrics: IngestMetrics, *, as_json: bool) -> None:
    """Print tables, or one JSON object."""
    summed = metrics.as_dict()
    if as_json:
        sys.stdout.write(json.dumps(summed) + "\n")
        return
    console = Console()
    console.print(_table(f"{metrics.messages} messages, median of {len(metrics.gateway)}", summed))
    if metrics.baseline:
        console.print(_table("the baseline", summed["baseline"]))
        console.print(f"{summed['ratio_cpu']} times the CPU of the baseline, {summed['ratio_rate']} times its rate")
    console.print(f"{summed['bytes_per_message']} bytes a message in the database, indexes included")
    busy = summed["generator"]["busy_share"]
    console.print(f"the generator was busy for at most {busy:.0%} of the time")


def _medians(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "messages_per_s": round(median(run.messages_per_s for run in runs), 1),
        "cpu_s_per_million": round(median(run.cpu_s_per_million for run in runs), 1),
        "processes": {
            name: asdict(
                Cost(
                    round(median(run.processes[name].cpu_s_per_million for run in runs), 1),
                    round(max(run.processes[name].peak_mb for run in runs), 1),
                )
            )
            for name in runs[0].processes
        },
    }


def _table(title: str, side: Mapping[str, Any]) -> Table:
    table = Table(title=f"{title}: {side['messages_per_s']:.0f}/s from the first publish to the last row")
    for heading in ("process", "CPU-s per million", "peak MB"):
        table.add_column(heading, justify="left" if heading == "process" else "right")
    for name, cost in side["processes"].items():
        table.add_row(name, f"{cost['cpu_s_per_million']:.1f}", f"{cost['peak_mb']:.0f}")
    table.add_row("all", f"{side['cpu_s_per_million']:.1f}", "")
    return table
