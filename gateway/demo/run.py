"""`gateway demo`: runs the whole system with a simulated fleet and a live summary, and reconciles at the end."""

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from gateway.demo.event import DemoEvent
from gateway.demo.metrics import SystemMonitor
from gateway.demo.summary import Summary, SummaryDisplay
from gateway.fleet import FIELD_MIX, Fleet, FleetOptions
from gateway.fleet.meter_fleet import MeterFleet
from gateway.local.api_auth import local_api_settings
from gateway.local.system import System, default_topics
from gateway.reconciliation.dr import DrReconciliation
from gateway.reconciliation.meters import MeterReconciliation, reconcile_meters
from gateway.reconciliation.telemetry import SNAPSHOTS, Reconciliation, reconcile_when_stored
from gateway.stack import MqttBroker

PATIENCE_SECONDS = 30
# After Ctrl-C somebody waits at the terminal.
PATIENCE_INTERRUPTED_SECONDS = 2


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of `gateway demo`. Without `seconds` it runs until Ctrl-C; without `data` it keeps nothing."""

    vens: int
    interval: float
    seconds: float | None
    data: Path | None
    mqtt: MqttBroker
    meters: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Result:
    """What the demo measured, and its reconciliations."""

    measured: dict[str, Any]
    samples: Reconciliation
    snapshots: Reconciliation
    meters: MeterReconciliation | None
    commands: DrReconciliation | None
    event: DemoEvent

    @property
    def passed(self) -> bool:
        commands_passed = self.commands is None or self.commands.passed
        meters_passed = self.meters is None or self.meters.passed
        return (
            self.samples.passed
            and self.snapshots.passed
            and meters_passed
            and commands_passed
            and not self.event.failed
        )

    def as_dict(self) -> dict[str, Any]:
        event = self.event.as_dict()
        if event is not None and self.commands is not None:
            event |= {"reconciliation": self.commands.as_dict()}
        meters = None if self.meters is None else self.meters.as_dict()
        return {
            **self.samples.as_dict(),
            **self.measured,
            "snapshots": self.snapshots.as_dict(),
            "meters": meters,
            "event": event,
        }


async def run_demo(options: DemoOptions, stop: asyncio.Event) -> bool:
    """Run the demo until `stop` or the end of its time; return whether the reconciliation passed."""
    console = Console(stderr=options.as_json)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:

        def progress(line: str) -> None:
            console.print(line, highlight=False)

        settings = default_topics() | local_api_settings(progress)
        system = System(options.data or Path(folder), mqtt=options.mqtt, settings=settings, progress=progress)
        async with system.until(stop) as up:
            if not up:
                return True
            start_seconds = time.monotonic() - started
            _print_addresses(console, system, start_seconds)
            result = await _run_and_reconcile(options, system, stop, console)
            result.measured["start_seconds"] = round(start_seconds, 1)
            if options.as_json:
                sys.stdout.write(json.dumps(result.as_dict()) + "\n")
                sys.stdout.flush()
            else:
                _print_result(console, result)
            console.print("Stopping …")
    return result.passed


async def _run_and_reconcile(options: DemoOptions, system: System, stop: asyncio.Event, console: Console) -> _Result:
    fleet_options = FleetOptions(
        host=system.stack.mqtt_host,
        port=system.stack.mqtt_port,
        vens=options.vens,
        interval=options.interval,
        behaviours=FIELD_MIX,
    )
    fleet = Fleet(fleet_options)
    meter_fleet = MeterFleet(fleet_options) if options.meters else None
    event = DemoEvent(system.api, options.seconds)
    meters = None if meter_fleet is None else asyncio.create_task(meter_fleet.run(stop))
    measured = await _run_fleet(options, system, fleet, event, stop, console)
    if meters is not None:
        await meters
    patience = PATIENCE_INTERRUPTED_SECONDS if options.seconds is None else PATIENCE_SECONDS
    samples = await reconcile_when_stored(system.database, fleet.ledger, patience=patience)
    snapshots = await reconcile_when_stored(system.database, fleet.snapshots, SNAPSHOTS, patience=patience)
    irregular = None if meter_fleet is None else await reconcile_meters(system.database, meter_fleet, patience)
    # Once more, for the metrics from the last samples.
    await event.poll(measured["seconds"], None)
    return _Result(measured, samples, snapshots, irregular, event.reconcile(fleet.dr), event)


async def _run_fleet(
    options: DemoOptions, system: System, fleet: Fleet, event: DemoEvent, stop: asyncio.Event, console: Console
) -> dict[str, Any]:
    """Publish and show the summary until `stop`; return what was measured."""
    begun = time.monotonic()
    publishing = asyncio.create_task(fleet.run(stop=stop))
    summary = Summary(options.vens)
    async with SystemMonitor(system.kafka, system.database, system.api) as monitor:
        with SummaryDisplay(summary, console) as display:
            while not stop.is_set() and not publishing.done():
                snapshot, elapsed = await monitor.read(), time.monotonic() - begun
                await event.poll(elapsed, snapshot.network)
                summary.update(snapshot, fleet.published, fleet.accepted, *event.progress(elapsed))
                display.refresh()
                if options.seconds is not None and elapsed >= options.seconds:
                    stop.set()
                await _pause(stop, 1.0)
        await publishing
        last = await monitor.read()
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "dead_lettered": last.dead_lettered or 0,
        "online_vens": (last.network or {}).get("onlineVens"),
        "restarts": {name: worker.restarts for name, worker in system.workers.items() if worker.restarts},
    }


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def _print_addresses(console: Console, system: System, start_seconds: float) -> None:
    addresses = system.endpoints()
    console.print(f"\n[bold]Everything is up[/bold] after {start_seconds:.1f} s.", highlight=False)
    for line in (
        f"  page      {addresses['api']}/",
        f"  network   curl {addresses['api']}/api/stats/network",
        f"  VENs      curl '{addresses['api']}/api/vens?limit=3'",
        f"  API docs  {addresses['api']}/docs",
        f"  MQTT      {addresses['mqtt_host']}:{addresses['mqtt_port']}",
        f"  Kafka     {addresses['kafka']}",
        f"  database  psql {addresses['postgres']}",
        f"  logs      {system.stack.logs}",
        "Press Ctrl-C to stop.\n",
    ):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _print_result(console: Console, result: _Result) -> None:
    samples, snapshots = result.samples, result.snapshots
    verdict = "[green]Reconciliation passed.[/green]" if result.passed else "[red]Reconciliation failed.[/red]"
    console.print(
        f"{verdict} The broker accepted {samples.accepted} samples and {snapshots.accepted} load snapshots; "
        f"{samples.stored} and {snapshots.stored} are stored. {samples.lost + snapshots.lost} lost, "
        f"{samples.duplicated + snapshots.duplicated} duplicated, {samples.wrong + snapshots.wrong} with wrong values, "
        f"{result.measured['dead_lettered']} dead letters.",
        highlight=False,
        soft_wrap=True,
    )
    if result.meters is not None:
        console.print(result.meters.summary(), highlight=False, soft_wrap=True, markup=False)
    console.print(result.event.summary(result.commands), highlight=False, soft_wrap=True, markup=False)
