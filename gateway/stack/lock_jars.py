"""Write `jars.lock` anew, after a change of the versions below.

    mvn dependency:list -DincludeScope=runtime -DoutputFile=artemis.txt   # in a project that depends on ARTEMIS
    python -m gateway.stack.lock_jars artemis.txt

Kafka's dependencies are resolved by jgo. Artemis's are not (its parent POM refers to itself in a way jgo's resolver
takes for a loop), so they come from the list that Maven prints. Needs the network; read the diff before you keep it.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from jgo.maven import MavenContext

from gateway.stack.jars import LOCK

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
ARTEMIS = ("org.apache.artemis:artemis-server:2.55.0", "org.apache.artemis:artemis-mqtt-protocol:2.55.0")
# Without a binding of the slf4j generation that a server brings, it logs nothing at all.
BINDINGS = {"kafka": "org.slf4j:slf4j-simple:1.7.36", "artemis": "org.slf4j:slf4j-simple:2.0.18"}

_HEADER = """\
# Every jar of the Java servers of the local stack: server, coordinate, SHA-256 of the file.
# Written by `python -m gateway.stack.lock_jars`; see there.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Write jars.lock anew.")
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
    """Lines such as `g:a:jar:1.0:compile` and `g:a:jar:linux-x86_64:1.0:compile`."""
    for line in text.splitlines():
        fields = line.split()[0].split(":") if line.startswith("   ") and line.strip() else []
        match fields:
            case [group, artifact, "jar", version, _]:
                yield f"{group}:{artifact}:{version}"
            case [group, artifact, "jar", classifier, version, _]:
                yield f"{group}:{artifact}:{version}:{classifier}"


def _lines(context: MavenContext, server: str, coordinates: Iterable[str]) -> Iterator[str]:
    for coordinate in sorted(set(coordinates)):
        group, artifact, version, *classifier = coordinate.split(":")
        component = context.project(group, artifact).at_version(version)
        jar = component.artifact(classifier=classifier[0] if classifier else "").resolve()
        yield f"{server} {coordinate} {hashlib.sha256(jar.read_bytes()).hexdigest()}\n"


if __name__ == "__main__":
    main()
