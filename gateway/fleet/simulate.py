"""`gateway simulate`: publishes a simulated fleet or a recording to any MQTT broker."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from gateway.diagnostics.reachability import connect_error
from gateway.fleet import BrokerRefusedError, Fleet, FleetOptions, replay
from gateway.fleet.behaviours import FIELD_MIX, BehaviourShares, parse_shares
from gateway.fleet.meter_fleet import MeterFleet
from schemas.base.errors import GatewayError

_PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """The options of `gateway simulate`."""

    host: str
    port: int
    vens: int
    interval: float
    messages: int | None
    rate: float | None
    ledger: Path | None
    loads: bool
    recording: Path | None
    speed: float
    shift_to_now: bool
    seed: int
    commands: bool
    faults: bool
    meters: bool
    behaviours: str | None


async def run_simulate(options: SimulateOptions, stop: asyncio.Event) -> None:
    """Publish until done or `stop`.

    Raises:
        GatewayError: the broker does not answer or refuses the connection, or the recording cannot be read.
    """
    console = Console(stderr=True)
    if options.recording is not None and not await asyncio.to_thread(options.recording.is_file):
        raise GatewayError(f"there is no file {options.recording}; check --replay")
    # The fleet waits for a broker that goes away later. One that does not answer now is probably a wrong address.
    error = await connect_error(options.host, options.port)
    if error is not None:
        raise GatewayError(
            f"{options.host}:{options.port} does not answer ({error}); check --mqtt, and that the broker runs "
            "(`gateway up` prints its address)"
        )
    try:
        if options.recording is not None:
            await _replay(options, options.recording, console)
        else:
            await _run_fleet(options, stop, console)
    except BrokerRefusedError as refused:
        raise GatewayError(str(refused)) from None
    except (OSError, ValueError, KeyError) as failure:
        raise GatewayError(f"cannot publish: {failure}") from None


async def _replay(options: SimulateOptions, recording: Path, console: Console) -> None:
    shift_to = datetime.now(UTC) if options.shift_to_now else None
    result = await replay(options.host, options.port, recording, speed=options.speed, shift_to=shift_to)
    for topic, count in sorted(result.counts.items()):
        console.print(f"{count:6} {topic}", highlight=False, markup=False)
    console.print(
        f"{result.counts.total()} messages published, {result.accepted} accepted by the broker", highlight=False
    )
    if result.skipped:
        console.print(f"{result.skipped} commands in the recording skipped, because no VEN sent them", highlight=False)


async def _run_fleet(options: SimulateOptions, stop: asyncio.Event, console: Console) -> None:
    fleet_options = FleetOptions(
        host=options.host,
        port=options.port,
        vens=options.vens,
        interval=options.interval,
        rate=options.rate,
        seed=options.seed,
        loads_enabled=options.loads,
        commands=options.commands,
        behaviours=_shares(options),
    )
    fleet, begun, done = Fleet(fleet_options), time.monotonic(), asyncio.Event()
    publishing = asyncio.create_task(fleet.run(stop=stop, messages=options.messages))
    meters = asyncio.create_task(MeterFleet(fleet_options).run(done)) if options.meters else None
    while not (await asyncio.wait({publishing}, timeout=_PROGRESS_SECONDS))[0]:
        rate = fleet.published / (time.monotonic() - begun)
        console.print(
            f"{fleet.published} samples published, {fleet.accepted} accepted, {rate:.0f} per second", highlight=False
        )
    done.set()
    if meters is not None:
        await meters
    publishing.result()
    if options.ledger is not None:
        fleet.ledger.write(options.ledger)
    if fleet.published and not fleet.accepted:
        raise GatewayError(
            f"{options.host}:{options.port} accepted no message; check --mqtt, and that an MQTT broker runs there"
        )
    console.print(f"{fleet.published} samples published, {fleet.accepted} accepted by the broker", highlight=False)


def _shares(options: SimulateOptions) -> BehaviourShares:
    if options.behaviours is None:
        return FIELD_MIX if options.faults else {}
    try:
        return parse_shares(options.behaviours)
    except ValueError as error:
        raise GatewayError(f"--behaviours: {error}") from None
