"""The Dockerfile copies all packages and runs without privileges."""

import re
import shlex
import subprocess

from gateway.certs.folder import CONTAINER_USER
from tests.support.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_has_all_packages_and_an_unprivileged_user() -> None:
    lines = [line.strip() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    copied = {shlex.split(line)[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= copied
    ignored = (ROOT / ".dockerignore").read_text()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in shlex.split(line)[1:-1]:
                assert (ROOT / source).exists()
                assert f"\n!{source}\n" in ignored
    assert f"USER {CONTAINER_USER}:{CONTAINER_USER}" in lines
    assert lines.index(f"USER {CONTAINER_USER}:{CONTAINER_USER}") > max(
        number for number, line in enumerate(lines) if line.startswith("FROM ")
    )
    assert 'ENTRYPOINT ["gateway"]' in lines
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    for secret in ("certs/ca/ca.key", ".env"):
        subprocess.run(["git", "check-ignore", "-q", secret], cwd=ROOT, check=True)
