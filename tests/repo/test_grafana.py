"""What the dashboards of deploy/grafana ask for exists, and every panel says what it is."""

import re
from typing import Any

import pytest
import yaml

from tests.support.grafana import DASHBOARDS, FOLDER, Panel, dashboard, panels, provisioned, queries
from tests.support.metrics import series

PANELS = panels()
PROMQL = [pytest.param(expression, id=panel.name) for panel, expression, _ in queries("expr")]

UNITS = {"none", "kwatt", "kwatth", "s", "percentunit", "mps", "recps", "reqps", "eps", "bytes", "dateTimeAsIso"}
"""Ids of Grafana's own units; it shows an id that it does not know as a suffix."""

ADDED_BY_PROMETHEUS = {"job", "instance"}
WORDS = {"sum", "min", "max", "by", "rate", "increase", "histogram_quantile", "abs", "time"}


KNOWN = series()


def asked(expression: str) -> tuple[set[str], set[str]]:
    """Return the series and the labels that an expression names."""
    labels = {name for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(", ")}
    labels |= {name for group in re.findall(r"\{([^}]*)\}", expression) for name in re.findall(r"(\w+)\s*[=!]", group)}
    bare = re.sub(r"by \([^)]*\)|\{[^}]*\}|\[[^\]]*\]|\d+(\.\d+)?", " ", expression)
    return set(re.findall(r"[a-z_]+", bare)) - WORDS, labels


def test_there_are_two_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == ["fleet", "pipeline"]
    assert len({dashboard(path)["uid"] for path in DASHBOARDS}) == 2


@pytest.mark.parametrize("expression", PROMQL)
def test_metrics_and_their_labels_exist(expression: str) -> None:
    names, labels = asked(expression)
    assert names
    assert names <= KNOWN.keys()
    for name in names:
        assert labels <= KNOWN[name] | ADDED_BY_PROMETHEUS, name


@pytest.mark.parametrize(
    ("expression", "names", "labels"),
    [
        ('sum by (a, le) (rate(x_bucket{b!="1"}[$__rate_interval])) / max(y)', {"x_bucket", "y"}, {"a", "le", "b"}),
        ("histogram_quantile(0.95, x_bucket) > 0", {"x_bucket"}, set()),
    ],
)
def test_metrics_and_labels_of_an_expression_are_found(expression: str, names: set[str], labels: set[str]) -> None:
    assert asked(expression) == (names, labels)


def test_legends_use_labels_that_the_expression_keeps() -> None:
    for panel in PANELS:
        for target in panel.body["targets"]:
            if "expr" in target:
                named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                kept = {name for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for name in group.split(", ")}
                assert named <= (kept - {"le"} or ADDED_BY_PROMETHEUS), panel.name
                assert target["legendFormat"], panel.name


def test_every_gateway_metric_is_on_a_dashboard() -> None:
    shown = {name for _, expression, _ in queries("expr") for name in asked(expression)[0]}
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in shown}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in KNOWN if name.startswith("gateway_")} <= families


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_has_a_title_and_a_description(panel: Panel) -> None:
    body = panel.body
    assert body["title"]
    assert body["description"]
    defaults = body["fieldConfig"]["defaults"]
    changed = [one["properties"] for one in body["fieldConfig"]["overrides"]]
    units = {one["value"] for properties in changed for one in properties if one["id"] == "unit"}
    assert {defaults["unit"], *units} <= UNITS
    limits = [step["value"] for step in defaults["thresholds"]["steps"]]
    assert limits[0] is None
    assert limits[1:] == sorted(limits[1:])
    for source in (body["datasource"], *(target["datasource"] for target in body["targets"])):
        assert provisioned()[source["uid"]]["type"] == source["type"]
    refs = [target["refId"] for target in body["targets"]]
    assert len(refs) == len(set(refs)) > 0


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap(path: Any) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(path)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard(path)["panels"]]
    assert len(ids) == len(set(ids))


def test_addresses_and_credentials_come_from_the_environment() -> None:
    for source in provisioned().values():
        assert source["url"].startswith("$")
        for value in (source.get("user", "$"), *source.get("secureJsonData", {}).values()):
            assert value.startswith("$")


def test_every_environment_variable_is_documented() -> None:
    files = [path.read_text() for path in (FOLDER / "provisioning").rglob("*.yaml")]
    named = {name for text in files for name in re.findall(r"\$([A-Z][A-Z_]*)", text)}
    readme = (FOLDER / "README.md").read_text()
    assert {name for name in named if f"`{name}`" not in readme} == set()
    assert all(yaml.safe_load(text)["apiVersion"] == 1 for text in files)
