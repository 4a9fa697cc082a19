"""Metrics: what is read on demand, the text, and that docs/reference/metrics.md names each of them."""

import re
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily

from runtime import metrics
from tests.support.metrics import Shown, parsed
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"^\| `(gateway_[a-z_]+)(?:\{([a-z,]+)\})?` \|", re.MULTILINE)


def known() -> dict[str, tuple[str, ...]]:
    """Return the labels of every metric of runtime/metrics.py, by the name under which it is shown."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, metrics.CallbackMetric | MetricWrapperBase):
            labels: Any = metric._labels if isinstance(metric, metrics.CallbackMetric) else metric._labelnames
            (family,) = metric.describe()
            found[family.name + ("_total" if family.type == "counter" else "")] = tuple(labels)
    return found


def shown() -> Shown:
    return parsed(metrics.exposition().decode())


def test_documented_metrics_and_labels_equal_the_code() -> None:
    rows = ROW.findall(DOCUMENT.read_text())
    assert {name: tuple(filter(None, labels.split(","))) for name, labels in rows} == known()


def test_every_metric_is_defined_in_one_file() -> None:
    registered = {name for name in metrics.REGISTRY._names_to_collectors if name.startswith("gateway_")}
    suffixes = ("", "_total", "_bucket", "_count", "_sum", "_created")
    names = {name.removesuffix("_total") for name in known()}
    assert registered <= {name + suffix for name in names for suffix in suffixes}


def test_no_label_can_name_a_ven() -> None:
    labels = {label for labels in known().values() for label in labels}
    assert labels <= {
        "kind",
        "role",
        "topic",
        "reason",
        "name",
        "method",
        "route",
        "status",
        "step",
        "match",
        "op",
        "figure",
        "table",
        "partition",
        "setting",
    }


def test_metric_names_are_unique() -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.CallbackMetric(GaugeMetricFamily, "gateway_alarm", "once more")


def test_gauges_are_read_at_each_scrape() -> None:
    received = {"metering": 0, "loads": 7}
    assert "gateway_messages_received_total" not in shown()
    with metrics.MESSAGES_RECEIVED.reporting(lambda: {(kind,): number for kind, number in received.items()}):
        assert shown()["gateway_messages_received_total"] == {("metering",): 0, ("loads",): 7}
        received["metering"] = 3
        assert shown()["gateway_messages_received_total"] == {("metering",): 3, ("loads",): 7}
    assert "gateway_messages_received_total" not in shown()


def test_two_sources_of_a_gauge_are_shown_together() -> None:
    with (
        metrics.DEAD_LETTER_RATIO.reporting(lambda: {(): 0.5}),
        metrics.ALARM.reporting(lambda: {("a",): 1}),
        metrics.ALARM.reporting(lambda: {("b",): 0}),
    ):
        assert shown()["gateway_dead_letter_ratio"] == {(): 0.5}
        assert shown()["gateway_alarm"] == {("a",): 1, ("b",): 0}


def test_a_gauge_disappears_when_its_work_fails() -> None:
    with pytest.raises(RuntimeError, match="work"), metrics.MESSAGES_UNACKNOWLEDGED.reporting(lambda: {(): 1}):
        raise RuntimeError("work")
    assert "gateway_messages_unacknowledged" not in shown()


def test_process_metrics_are_shown_without_created_series() -> None:
    metrics.RECORDS_PROCESSED.labels("test", "topic").inc()
    assert shown()["process_resident_memory_bytes"][()] > 1_000_000
    assert not [name for name in shown() if name.endswith("_created")]


def test_label_values_are_escaped() -> None:
    odd = 'a"b\\c\nd€'
    with metrics.CHECK.reporting(lambda: {(odd,): 1}):
        assert shown()["gateway_check"] == {(odd,): 1}
