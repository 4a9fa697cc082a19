"""`gateway simulate` where there is nothing to publish to, or nothing to publish, and what it says then."""

import asyncio
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.fleet import Fleet, FleetOptions
from gateway.fleet.publisher import Outage
from gateway.fleet.simulate import SimulateOptions, run_simulate
from gateway.stack.ports import claim
from schemas.base.errors import GatewayError


@pytest.fixture
def closed_port(tmp_path: Path) -> int:
    """A port at which nobody listens, nor is it one that a client might get for its own end: it would reach itself."""
    return claim(tmp_path / "ports.json", ["nobody"])["nobody"]


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
        obey=True,
        faults=False,
        behaviours=None,
    )


async def test_a_broker_that_is_not_there_is_one_sentence(closed_port: int) -> None:
    said = f"127.0.0.1:{closed_port} does not answer: Connection refused; check --mqtt"
    with pytest.raises(GatewayError, match=said):
        await asyncio.wait_for(run_simulate(options(closed_port), asyncio.Event()), 60)


async def test_a_recording_that_is_not_there_is_one_sentence(closed_port: int) -> None:
    with pytest.raises(GatewayError, match=r"^there is no file nosuch\.jsonl$"):
        await run_simulate(options(closed_port, Path("nosuch.jsonl")), asyncio.Event())


async def test_an_outage_is_told_once_by_all_connections(caplog: pytest.LogCaptureFixture, closed_port: int) -> None:
    stop = asyncio.Event()
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(
            Fleet(FleetOptions(host="127.0.0.1", port=closed_port, vens=9, interval=1.0)).run(stop=stop)
        )
        # Time for many tries, which begin a tenth of a second apart.
        await asyncio.wait({running}, timeout=1)
        stop.set()
        await running
    assert len([record for record in caplog.records if record.name == "gateway.fleet.publisher"]) == 1


def test_the_next_outage_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    for _ in range(2):
        outage.is_on("here", OSError("away"))
        outage.is_on("here", OSError("away"))
        outage.is_over()
    assert len(caplog.records) == 2


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.count(".") == 2
