"""What `make` writes is whole, or it is what was there before."""

import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

WRITTEN = {
    "docs": ["docs/reference/backend-api.yaml", "docs/reference/asyncapi.yaml", "docs/reference/licences.md"],
    "sbom": ["sbom.json"],
}


@pytest.mark.parametrize("target", WRITTEN)
@pytest.mark.parametrize("succeeds", [True, False])
def test_a_failed_generator_keeps_the_old_document(target: str, tmp_path: Path, *, succeeds: bool) -> None:
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    for name in WRITTEN[target]:
        (tmp_path / name).write_text("as it was\n")
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\ncase "$1" in sync) exit 0;; esac\necho new\nexit {0 if succeeds else 1}\n')
    uv.chmod(0o755)
    command: list[str | Path] = ["make", "--keep-going", "-f", ROOT / "Makefile", target, f"UV={uv}"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (outcome.returncode == 0) is succeeds
    for name in WRITTEN[target]:
        assert (tmp_path / name).read_text() == ("new\n" if succeeds else "as it was\n")
