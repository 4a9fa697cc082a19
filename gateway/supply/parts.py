"""The packages and jars of an installation, as the lock files say; what only developers need is not among them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.stack.jars import LOCK, Jar, pinned

PROJECT = "grid-event-gateway"
ROOT = Path(__file__).parents[2]
SERVERS = ("kafka", "artemis")


class Package(NamedTuple):
    """One Python package; `stack` says that only the local stack (`gateway demo`, `gateway up`) needs it."""

    name: str
    version: str
    stack: bool


def packages(lock: Path = ROOT / "uv.lock") -> list[Package]:
    """Return all that the lock file lets an installation have, on whatever system, in the order of their names."""
    locked = {each["name"]: each for each in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]}
    project = locked[PROJECT]
    extras = project["optional-dependencies"]
    needed = _with_all_below(locked, project["dependencies"] + extras["tracing"])
    stack = _with_all_below(locked, extras["stack"])
    return [Package(name, locked[name]["version"], name not in needed) for name in sorted(needed | stack)]


def jars(lock: Path = LOCK) -> list[Jar]:
    """Return the jars of the local stack's Java servers, each once."""
    found = {jar.coordinate: jar for server in SERVERS for jar in pinned(server, lock)}
    return [found[coordinate] for coordinate in sorted(found)]


def _with_all_below(locked: Mapping[str, Any], dependencies: list[Any]) -> set[str]:
    """Whatever the system: what a marker leaves out here is installed elsewhere."""
    todo, seen = list(dependencies), set()
    while todo:
        dependency = todo.pop()
        wanted = (dependency["name"], *dependency.get("extra", ()))
        if wanted not in seen:
            seen.add(wanted)
            package = locked[dependency["name"]]
            todo += package.get("dependencies", ())
            for extra in wanted[1:]:
                todo += package.get("optional-dependencies", {}).get(extra, ())
    return {wanted[0] for wanted in seen}
