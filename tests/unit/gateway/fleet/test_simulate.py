"""The errors of `gateway simulate`: no broker, no recording, an outage."""

import asyncio
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.fleet import Fleet, FleetOptions
from gateway.fleet.publisher import Outage
from gateway.fleet.simulate import SimulateOptions, run_simulate
from gateway.stack.ports import reserve_ports
from schemas.base.errors import GatewayError


@pytest.fixture
def closed_port(tmp_path: Path) -> int:
    """Return a port at which nothing listens, outside the range of ephemeral ports."""
    return reserve_ports(tmp_path / "ports.json", ["unused"])["unused"]


def options(port: int, recording: Path | None = None) -> SimulateOptions:
    return SimulateOptions(
        host="127.0.0.1",
        port=port,
        vens=1,
        interval=1.0,
        messages=None,
        rate=None,
        ledger=None,
        loads=True,
        recording=recording,
        speed=0,
        shift_to_now=False,
        seed=1,
        commands=True,
        faults=False,
        meters=False,
        behaviours=None,
    )


async def test_unreachable_broker_is_one_sentence(closed_port: int) -> None:
    said = rf"^127\.0\.0\.1:{closed_port} does not answer \(Connection refused\); check --mqtt"
    with pytest.raises(GatewayError, match=said):
        await asyncio.wait_for(run_simulate(options(closed_port), asyncio.Event()), 60)


async def test_missing_recording_is_one_sentence(closed_port: int) -> None:
    with pytest.raises(GatewayError, match=r"^there is no file nosuch\.jsonl; check --replay$"):
        await run_simulate(options(closed_port, Path("nosuch.jsonl")), asyncio.Event())


async def test_outage_is_logged_once_for_all_connections(caplog: pytest.LogCaptureFixture, closed_port: int) -> None:
    stop = asyncio.Event()
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(
            Fleet(FleetOptions(host="127.0.0.1", port=closed_port, vens=9, interval=1.0)).run(stop=stop)
        )
        # Time for many attempts; the first delay is a tenth of a second.
        await asyncio.wait({running}, timeout=1)
        stop.set()
        await running
    assert len([record for record in caplog.records if record.name == "gateway.fleet.publisher"]) == 1


def test_next_outage_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    for _ in range(2):
        outage.begin("here", OSError("away"))
        outage.begin("here", OSError("away"))
        outage.end()
    assert len(caplog.records) == 2


def test_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.count(".") == 2
