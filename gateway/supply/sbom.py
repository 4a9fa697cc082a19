"""Print a software bill of materials (CycloneDX, JSON): the Python packages by uv, and the jars of the local stack.

python -m gateway.supply.sbom > sbom.json
"""

import json
import os
import subprocess
import sys
from typing import Any

from gateway.stack.jars import Jar
from gateway.supply.licences import JARS
from gateway.supply.parts import ROOT, jars

_EXPORT = (
    "export",
    "--locked",
    "--all-extras",
    "--no-dev",
    "--format",
    "cyclonedx1.5",
    "--quiet",
    "--preview-features",
    "sbom-export",
)


def bill() -> dict[str, Any]:
    """Return it; uv (of the environment variable UV, which `uv run` sets, else of the PATH) knows the packages."""
    exported = subprocess.run([os.environ.get("UV", "uv"), *_EXPORT], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(exported.stdout)
    document["components"] += [_component(jar) for jar in jars()]
    return document


def _component(jar: Jar) -> dict[str, Any]:
    group, name, version, classifier = jar.parts
    where = f"pkg:maven/{group}/{name}@{version}?{f'classifier={classifier}&' if classifier else ''}type=jar"
    return {
        "type": "library",
        "bom-ref": where,
        "group": group,
        "name": name,
        "version": version,
        "purl": where,
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        "licenses": [{"expression": JARS[group]}],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
