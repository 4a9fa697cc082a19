"""The units of deploy/systemd start what exists, one for each process, and give it the time to drain."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from schemas.settings.blocks import BridgeSettings
from streams.roles import ROLES
from tests.support.paths import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))


def service(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser["Service"]


def test_each_process_has_one_unit() -> None:
    commands = {service(path)["ExecStart"].split()[1] for path in UNITS}
    assert commands == {"bridge", "streams", "api", "migrate"}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_each_unit_runs_a_command_and_leaves_time_to_drain(path: Path) -> None:
    section = service(path)
    for instance in ROLES if "@" in path.name else ("",):
        command = section["ExecStart"].replace("%i", instance).split()[1:]
        assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0
    if section.get("Type") != "oneshot":
        assert section["Restart"] == "always"
        assert float(section["TimeoutStopSec"]) > BridgeSettings().shutdown_timeout + 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_verifies_the_units(path: Path, tmp_path: Path) -> None:
    # The program is elsewhere here; all else is looked at as it is.
    copied = tmp_path / path.name.replace("@", "@sink" if path.name.endswith("@.service") else "@")
    copied.write_text(path.read_text().replace("/opt/gateway/.venv/bin/gateway", "/bin/true"))
    outcome = subprocess.run(["systemd-analyze", "verify", copied], capture_output=True, text=True, check=False)
    assert [line for line in outcome.stderr.splitlines() if path.name.split("@")[0] in line] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_rates_the_exposure_as_low(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / path.name.replace("@", "@sink" if path.name.endswith("@.service") else "@")
    copied.write_text(path.read_text())
    # Of 100: 92 is a unit that says nothing of the kind.
    command: list[str | Path] = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=40",
        "--no-pager",
        copied,
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-200:]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_restarts_without_a_limit(path: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(path)
    assert parser.get("Unit", "StartLimitIntervalSec", fallback="") == ("" if "migrate" in path.name else "0")
