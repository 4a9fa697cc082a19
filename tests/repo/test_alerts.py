"""The alert rules of deploy/prometheus ask for what exists, and each has its entry in the runbook."""

import re
from typing import Any

import promql_parser
import pytest
import yaml

from schemas.settings.blocks import DispatchSettings
from tests.support.metrics import series
from tests.support.paths import ROOT

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])

ADDED_BY_PROMETHEUS = {"job", "instance"}
KNOWN = series() | {"up": set()}


def asked(expression: str) -> list[tuple[str, dict[str, str]]]:
    """The series of an expression, each with the values of the labels that it has to have."""
    found: list[tuple[str, dict[str, str]]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {one.name: one.value for one in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def grouped(expression: str) -> set[str]:
    """The labels that the sums of an expression keep or join on."""
    lists = re.findall(r"\b(?:by|on|ignoring|without) \(([^)]*)\)", expression)
    return {name.strip() for names in lists for name in names.split(",")}


def entries() -> list[str]:
    """The names of the runbook's entries."""
    text = (ROOT / "docs" / "how-to" / "runbook.md").read_text()
    return re.findall(r"^## (\w+)$", text, re.MULTILINE)


def test_rules_are_loaded_and_use_existing_jobs() -> None:
    """As compose.yaml starts it, with both files in one folder."""
    folder = ROOT / "deploy" / "prometheus"
    configuration = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert configuration["rule_files"] == ["alerts.yml"]
    jobs = {
        each["job_name"]: {target.split(":")[0] for one in each["static_configs"] for target in one["targets"]}
        for each in configuration["scrape_configs"]
    }
    wanted = {matchers["job"] for rule in RULES for _, matchers in asked(rule["expr"]) if "job" in matchers}
    assert wanted
    for pattern in wanted:
        found = set[str]().union(*(targets for job, targets in jobs.items() if re.fullmatch(pattern, job)))
        assert found == {"bridge", "validate", "sink", "live", "api"}


@EACH
def test_rules_use_existing_metrics_and_labels(rule: dict[str, Any]) -> None:
    found = asked(rule["expr"])
    assert found
    labels = set(ADDED_BY_PROMETHEUS)
    for name, matchers in found:
        assert name in KNOWN
        assert matchers.keys() <= KNOWN[name] | ADDED_BY_PROMETHEUS
        labels |= KNOWN[name]
    assert grouped(rule["expr"]) <= labels
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    # What is summed away cannot be told; a rule that sums nothing keeps all.
    assert told <= (grouped(rule["expr"]) or labels)


def quotients(expression: str) -> list[tuple[str, str]]:
    """Both sides of each division."""
    found: list[tuple[str, str]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/":
            found.append((str(node.lhs), str(node.rhs)))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def seconds(window: str) -> float:
    return sum(
        float(number) * {"s": 1, "m": 60, "h": 3600}[unit] for number, unit in re.findall(r"(\d+)([smh])", window)
    )


@EACH
def test_a_ratio_without_traffic_raises_no_alert(rule: dict[str, Any]) -> None:
    """x / 0 is infinite, which is more than any limit; 0 / 0 is more than none."""
    for part, whole in quotients(rule["expr"]):
        (part_series,), (whole_series,) = asked(part), asked(whole)
        contained = part_series[0] == whole_series[0] and whole_series[1].items() <= part_series[1].items()
        same_window = re.findall(r"\[(\w+)\]", part) == re.findall(r"\[(\w+)\]", whole)
        assert (contained and same_window) or "> 0" in whole


def test_the_sent_window_covers_the_answer_timeout() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "GatewayCommandsUnanswered"]
    unanswered, sent = map(seconds, re.findall(r"\[(\w+)\]", rule["expr"]))
    assert sent - unanswered >= 10 * DispatchSettings().command_answer_seconds


@EACH
def test_every_rule_has_a_severity_and_a_runbook_link(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["runbook"] == f"docs/how-to/runbook.md#{rule['alert'].lower()}"
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}


def test_rules_and_runbook_entries_match_one_to_one() -> None:
    assert entries() == [rule["alert"] for rule in RULES]


def test_label_values_in_rules_exist() -> None:
    given: dict[str, set[str]] = {}
    for rule in RULES:
        for _, matchers in asked(rule["expr"]):
            for name, value in matchers.items():
                given.setdefault(name, set()).update(value.split("|"))
    source = "".join(
        path.read_text() for folder in ("schemas", "streams", "api") for path in (ROOT / folder).rglob("*.py")
    )
    for name in ("kind", "step", "name", "reason"):
        for value in given[name]:
            assert f'"{value}"' in source, (name, value)


def test_the_parser_rejects_what_prometheus_rejects() -> None:
    for wrong in ("rate(x)", "sum(x", "x{a=b}", "x and and y"):
        with pytest.raises(ValueError, match=r"."):
            promql_parser.parse(wrong)
    assert asked('rate(x{a="b"}[5m]) / y > 1 unless z') == [("x", {"a": "b"}), ("y", {}), ("z", {})]
