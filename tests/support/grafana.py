"""The dashboards of deploy/grafana as data, and their SQL as Grafana would send it, for tests."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.paths import ROOT

FOLDER = ROOT / "deploy" / "grafana"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
_MACRO = re.compile(r"\$__(\w+)\(([^)]*)\)")


class Panel(NamedTuple):
    """One panel that shows something; `body` is its JSON."""

    dashboard: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.body.get('title')}"


def dashboard(path: Path) -> dict[str, Any]:
    """Return one file of the folder `dashboards`."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def panels() -> list[Panel]:
    """Return the panels of all dashboards but the headings of rows."""
    return [
        Panel(path.stem, panel) for path in DASHBOARDS for panel in dashboard(path)["panels"] if panel["type"] != "row"
    ]


def queries(language: str) -> Iterator[tuple[Panel, str, str]]:
    """Go through the queries in `expr` (PromQL) or `rawSql`, each with its format if it has one."""
    for panel in panels():
        for target in panel.body["targets"]:
            if language in target:
                yield panel, target[language], target.get("format", "")


def provisioned() -> dict[str, dict[str, Any]]:
    """Return the datasources by uid."""
    (path,) = (FOLDER / "provisioning" / "datasources").glob("*.yaml")
    return {source["uid"]: source for source in yaml.safe_load(path.read_text())["datasources"]}


def as_sent(sql: str, begin: datetime, end: datetime, variables: dict[str, str], interval_seconds: int = 10) -> str:
    """Replace macros and variables as Grafana's PostgreSQL datasource does; raises ValueError for an unknown one."""
    first, last = (f"'{moment:%Y-%m-%dT%H:%M:%SZ}'" for moment in (begin, end))

    def replaced(found: re.Match[str]) -> str:
        column, *_ = (part.strip() for part in found[2].split(","))
        match found[1]:
            case "timeFilter":
                return f"{column} BETWEEN {first} AND {last}"
            case "timeFrom":
                return first
            case "timeTo":
                return last
            case "timeGroupAlias":
                return f'floor(extract(epoch from {column})/{interval_seconds})*{interval_seconds} AS "time"'
            case other:
                raise ValueError(f"the tests know no macro {other}; add it here as Grafana has it")

    sent = _MACRO.sub(replaced, sql)
    for name, value in variables.items():
        sent = sent.replace(f"${name}", value)
    if "$" in sent:
        raise ValueError(f"a variable is left: {sent}")
    return sent
