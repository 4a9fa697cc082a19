"""Write gateway/stack/jars.lock after a change of the versions below.

    mvn dependency:list -DincludeScope=runtime -DoutputFile=artemis.txt   # in a project that depends on ARTEMIS
    python -m tools.lock_jars artemis.txt

jgo resolves Kafka's dependencies. It cannot resolve those of Artemis, whose parent POM looks like a loop to it, so they
come from the list that Maven prints. The licence of a known group is taken over; enter that of a new group by hand
where the file says UNKNOWN. The command needs the network. Read the diff before you commit it.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from jgo.maven import MavenContext

from gateway.stack.jars import LOCK, all_pinned

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
ARTEMIS = ("org.apache.artemis:artemis-server:2.55.0", "org.apache.artemis:artemis-mqtt-protocol:2.55.0")
# Each server needs the binding of its own slf4j generation, or it logs nothing.
BINDINGS = {"kafka": "org.slf4j:slf4j-simple:1.7.36", "artemis": "org.slf4j:slf4j-simple:2.0.18"}

_HEADER = """\
# The jars of the local stack's Java servers: server, Maven coordinate, SHA-256, licence (SPDX).
# Written by `python -m tools.lock_jars`; see there.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Write jars.lock.")
    parser.add_argument("artemis", type=Path, help="what `mvn dependency:list` wrote for Artemis")
    listed = set(_from_maven(parser.parse_args().artemis.read_text(encoding="utf-8")))
    if absent := set(ARTEMIS) - listed:
        parser.error(f"the list lacks {', '.join(sorted(absent))}")
    with tempfile.TemporaryDirectory() as cache:
        context = MavenContext(repo_cache=Path(cache), timeout=60)
        lines = [
            *_lines(context, "kafka", [*_from_jgo(context, KAFKA), BINDINGS["kafka"]]),
            *_lines(context, "artemis", [*listed, BINDINGS["artemis"]]),
        ]
    LOCK.write_text(_HEADER + "".join(lines), encoding="utf-8")


def _from_jgo(context: MavenContext, root: str) -> Iterator[str]:
    inputs, transitive = context.resolver.resolve([context.create_dependency(root)])
    for dependency in (*inputs, *transitive):
        suffix = f":{dependency.classifier}" if dependency.classifier else ""
        yield f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}{suffix}"


def _from_maven(text: str) -> Iterator[str]:
    """Read lines such as `g:a:jar:1.0:compile` and `g:a:jar:linux-x86_64:1.0:compile`."""
    for line in text.splitlines():
        fields = line.split()[0].split(":") if line.startswith("   ") and line.strip() else []
        match fields:
            case [group, artifact, "jar", version, _]:
                yield f"{group}:{artifact}:{version}"
            case [group, artifact, "jar", classifier, version, _]:
                yield f"{group}:{artifact}:{version}:{classifier}"


def _lines(context: MavenContext, server: str, coordinates: Iterable[str]) -> Iterator[str]:
    licences = {jar.parts[0]: jar.licence for jar in all_pinned()}
    for coordinate in sorted(set(coordinates)):
        group, artifact, version, *classifier = coordinate.split(":")
        component = context.project(group, artifact).at_version(version)
        jar = component.artifact(classifier=classifier[0] if classifier else "").resolve()
        digest = hashlib.sha256(jar.read_bytes()).hexdigest()
        yield f"{server} {coordinate} {digest} {licences.get(group, 'UNKNOWN')}\n"


if __name__ == "__main__":
    main()
