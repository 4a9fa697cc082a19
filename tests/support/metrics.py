"""What a process shows to Prometheus, read with Prometheus' own rules, and all that any of them can show."""

import re
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from runtime import metrics

Shown = dict[str, dict[tuple[str, ...], float]]


def parsed(text: str) -> Shown:
    """Return values by the values of their labels (in the order of the labels' names), by name."""
    found: Shown = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def series() -> dict[str, set[str]]:
    """Return the labels of everything that the gateway shows to Prometheus, by the name of the series."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if not isinstance(metric, metrics.CallbackMetric | MetricWrapperBase):
            continue
        labels: Any = metric._labels if isinstance(metric, metrics.CallbackMetric) else metric._labelnames
        (family,) = metric.describe()
        match family.type:
            case "counter":
                found[f"{family.name}_total"] = set(labels)
            case "histogram":
                found |= {f"{family.name}_{suffix}": set(labels) for suffix in ("count", "sum")}
                found[f"{family.name}_bucket"] = {*labels, "le"}
            case _:
                found[family.name] = set(labels)
    shown = re.findall(r"^(process_\w+) ", metrics.exposition().decode(), re.MULTILINE)
    return found | {name: set() for name in shown}
