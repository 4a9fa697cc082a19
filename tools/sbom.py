"""Print a software bill of materials (CycloneDX 1.5, JSON): the Python packages from uv, and the jars.

python -m tools.sbom > sbom.json
"""

import json
import os
import subprocess
import sys
from typing import Any

from gateway.stack.jars import Jar, all_pinned
from tools.licences import ROOT

_EXPORT = ("--locked", "--all-extras", "--no-dev", "--format=cyclonedx1.5", "--quiet", "--preview-features=sbom-export")


def bill() -> dict[str, Any]:
    """Return the document; `uv` is the one of the environment variable UV, which `uv run` sets, or of the PATH."""
    command = [os.environ.get("UV", "uv"), "export", *_EXPORT]
    exported = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(exported.stdout)
    document["components"] += [_component(jar) for jar in all_pinned()]
    return document


def _component(jar: Jar) -> dict[str, Any]:
    group, name, version, classifier = jar.parts
    url = f"pkg:maven/{group}/{name}@{version}?{f'classifier={classifier}&' if classifier else ''}type=jar"
    return {
        "type": "library",
        "bom-ref": url,
        "group": group,
        "name": name,
        "version": version,
        "purl": url,
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        "licenses": [{"expression": jar.licence}],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
