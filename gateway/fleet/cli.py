"""`gateway simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.interruptible import run_until_interrupted
from schemas.base.errors import GatewayError

_MAX_PORT = 65_535


def simulate(
    mqtt: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the MQTT broker.")],
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Number of simulated homes.")] = 200,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two samples of a home.")] = 5.0,
    messages: Annotated[int | None, typer.Option(min=1, help="Stop after this number of samples.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Load test: messages per second, instead of by the clock.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Write the published and the accepted samples to this file.")
    ] = None,
    loads: Annotated[bool, typer.Option(help="Also publish load snapshots.")] = True,
    replay: Annotated[Path | None, typer.Option(help="Publish this recording (JSON lines) instead of a fleet.")] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Speed of the replay: 1 is real time, 0 is as fast as possible.")
    ] = 0,
    now: Annotated[bool, typer.Option("--now", help="Shift all times of the replay so that it begins now.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the fleet; another number gives other homes.")] = 1,
    commands: Annotated[bool, typer.Option(help="Execute commands and answer them (never with --rate).")] = True,
    faults: Annotated[bool, typer.Option("--faults", help="Let a quarter of the homes misbehave.")] = False,
    meters: Annotated[bool, typer.Option("--meters", help="Add one irregular meter of each kind.")] = False,
    behaviours: Annotated[
        str | None, typer.Option(metavar="NAME=SHARE,…", help="Choose the shares of homes that misbehave.")
    ] = None,
) -> None:
    """Publish a simulated fleet, or a recording of real devices, to any MQTT broker.

    --behaviours takes pairs such as slow=0.1,refuses=0.05. The names are
    refuses, slow, silent, repeats, forgets, lies and partial.
    """
    from gateway.fleet.simulate import SimulateOptions, run_simulate

    host, port = _address(mqtt)
    options = SimulateOptions(
        host=host,
        port=port,
        vens=vens,
        interval=interval,
        messages=messages,
        rate=rate,
        ledger=ledger,
        loads=loads,
        recording=replay,
        speed=speed,
        shift_to_now=now,
        seed=seed,
        commands=commands,
        faults=faults,
        meters=meters,
        behaviours=behaviours,
    )
    run_until_interrupted(lambda stop: run_simulate(options, stop))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise GatewayError(f"--mqtt must be HOST:PORT, such as 127.0.0.1:1883, not {text!r}")
    return host, int(port)
