"""`gateway demo`: the whole system with a simulated fleet, a live summary, and books that have to balance."""

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from gateway.demo.event import DemoEvent
from gateway.demo.metrics import SystemMonitor
from gateway.demo.summary import Summary, SummaryDisplay
from gateway.fleet import FIELD_MIX, Fleet, FleetOptions
from gateway.local.api_auth import local_api_settings
from gateway.local.system import System, default_topics
from gateway.reconciliation.dr import DrReconciliation
from gateway.reconciliation.telemetry import SNAPSHOTS, Reconciliation, reconcile_when_stored

PATIENCE_SECONDS = 30
# After Ctrl-C somebody waits at the terminal.
PATIENCE_INTERRUPTED_SECONDS = 2


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `gateway demo` was told; `seconds` None goes on until Ctrl-C, `data` None is a folder that goes again."""

    vens: int
    interval: float
    seconds: float | None
    data: Path | None
    mqtt: Literal["auto", "mosquitto", "artemis"]
    as_json: bool


async def run_demo(options: DemoOptions, stop: asyncio.Event) -> bool:
    """Run the demo until `stop` or its time is over; returns whether the books balance."""
    console = Console(stderr=options.as_json)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        data = options.data or Path(folder)

        def tell(line: str) -> None:
            console.print(line, highlight=False)

        settings = default_topics() | local_api_settings(tell)
        system = System(data, mqtt=options.mqtt, settings=settings, progress=tell)
        async with system.until(stop) as up:
            if not up:
                return True
            start_seconds = time.monotonic() - started
            _say_where(console, system, start_seconds)
            fleet = Fleet(
                FleetOptions(
                    host=system.stack.mqtt_host,
                    port=system.stack.mqtt_port,
                    vens=options.vens,
                    interval=options.interval,
                    behaviours=FIELD_MIX,
                )
            )
            event = DemoEvent(system.api, options.seconds)
            figures = await _run_fleet(options, system, fleet, event, stop, console)
            patience = PATIENCE_INTERRUPTED_SECONDS if options.seconds is None else PATIENCE_SECONDS
            balance = await reconcile_when_stored(system.database, fleet.ledger, patience=patience)
            snapshots = await reconcile_when_stored(system.database, fleet.snapshots, SNAPSHOTS, patience=patience)
            # Figures of what the last samples said.
            await event.look(figures["seconds"], None)
            books = event.books(fleet.dr)
            figures |= {
                "start_seconds": round(start_seconds, 1),
                "snapshots": snapshots.as_dict(),
                "event": _event_figures(event, books),
            }
            told = not event.failed and (books is None or books.passed)
            passed = balance.passed and snapshots.passed and told
            _report(console, balance, figures, event.came_to(books), passed=passed, as_json=options.as_json)
            console.print("stopping …")
    return passed


async def _run_fleet(
    options: DemoOptions, system: System, fleet: Fleet, event: DemoEvent, stop: asyncio.Event, console: Console
) -> dict[str, Any]:
    """Let the fleet live, with the summary on the screen; returns the last figures."""
    begun = time.monotonic()
    publishing = asyncio.create_task(fleet.run(stop=stop))
    summary = Summary(options.vens)
    async with SystemMonitor(system.kafka, system.database, system.api) as observer:
        with SummaryDisplay(summary, console) as shown:
            while not stop.is_set() and not publishing.done():
                figures, elapsed = await observer.read(), time.monotonic() - begun
                await event.look(elapsed, figures.network)
                summary.update(figures, fleet.published, fleet.accepted, *event.words(elapsed))
                shown.refresh()
                if options.seconds is not None and elapsed >= options.seconds:
                    stop.set()
                await _pause(stop, 1.0)
        await publishing
        last = await observer.read()
    restarts = {name: worker.restarts for name, worker in system.workers.items() if worker.restarts}
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "dead_lettered": last.dead_lettered or 0,
        "online_vens": (last.network or {}).get("onlineVens"),
        "restarts": restarts,
    }


def _event_figures(event: DemoEvent, books: DrReconciliation | None) -> dict[str, Any] | None:
    figures = event.figures()
    return figures if figures is None or books is None else figures | {"books": books.as_dict()}


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def _say_where(console: Console, system: System, start_seconds: float) -> None:
    where = system.endpoints()
    console.print(f"\n[bold]Everything is up[/bold] after {start_seconds:.1f} s. Where to look:", highlight=False)
    for line in (
        f"  page      {where['api']}/",
        f"  network   curl {where['api']}/api/stats/network",
        f"  VENs      curl '{where['api']}/api/vens?limit=3'",
        f"  API docs  {where['api']}/docs",
        f"  MQTT      {where['mqtt_host']}:{where['mqtt_port']}",
        f"  Kafka     {where['kafka']}",
        f"  database  psql {where['postgres']}",
        f"  logs      {system.stack.logs}",
        "Ctrl-C ends it.\n",
    ):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _report(
    console: Console,
    balance: Reconciliation,
    figures: dict[str, Any],
    of_the_event: str,
    *,
    passed: bool,
    as_json: bool,
) -> None:
    everything = {**balance.as_dict(), **figures}
    if as_json:
        sys.stdout.write(json.dumps(everything) + "\n")
        sys.stdout.flush()
        return
    verdict = "[green]the books balance[/green]" if passed else "[red]the books do not balance[/red]"
    snapshots = figures["snapshots"]
    twice = balance.duplicated + snapshots["duplicated"]
    console.print(
        f"{balance.accepted} samples and {snapshots['accepted']} load snapshots accepted by the broker, "
        f"{balance.stored} and {snapshots['stored']} stored, {balance.lost + snapshots['lost']} lost, "
        f"{twice} stored twice, {figures['dead_lettered']} dead letters: {verdict}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(of_the_event, highlight=False, soft_wrap=True, markup=False)
