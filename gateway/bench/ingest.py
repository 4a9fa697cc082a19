"""`gateway bench ingest`: what a message costs, from MQTT to the committed row, with everything running."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from gateway.bench.processes import cpu_seconds, processes
from gateway.bench.stage import stage
from gateway.fleet import Accepted
from gateway.ledger import Balance, settled
from gateway.system import System
from schemas.errors import GatewayError

# More than the system can take, so that the generator is never what is waited for.
GENERATOR_RATE = 1_000_000


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How much to publish, and how to print."""

    messages: int
    vens: int
    as_json: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process and its children used: CPU seconds per million messages, and resident memory at the end."""

    cpu_s_per_million: float
    mb: float


async def bench_ingest(options: IngestOptions, stop: asyncio.Event) -> None:
    """Bring everything up, publish at full speed, wait until all is stored, and print what it took.

    Raises:
        GatewayError: the books do not balance, and then the figures mean nothing.
    """
    async with stage(stop) as up:
        if up is None:
            return
        before = cpu_seconds(up.system)
        begun = time.monotonic()
        ledger, generator_cpu = await _publish(up.system, options, up.folder / "ledger.jsonl")
        balance = await settled(up.system.database, ledger, patience=60)
        seconds = time.monotonic() - begun
        costs = _costs(up.system, before, options.messages)
    if not balance.balanced:
        raise GatewayError(f"the books do not balance, so the figures mean nothing: {balance}")
    costs["(generator)"] = Cost(generator_cpu * 1e6 / options.messages, 0)
    _print(options, balance, seconds, costs)


async def _publish(system: System, options: IngestOptions, file: Path) -> tuple[Accepted, float]:
    """Publish from a process of its own; returns its ledger and the CPU seconds it used."""
    before = psutil.Process().cpu_times()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate"),
        *("--mqtt", f"{system.stack.mqtt_host}:{system.stack.mqtt_port}"),
        *("--vens", str(options.vens), "--messages", str(options.messages)),
        *("--rate", str(GENERATOR_RATE), "--no-loads", "--ledger", str(file)),
    )
    if await process.wait():
        raise GatewayError("the load generator failed; its message is above")
    after = psutil.Process().cpu_times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return await asyncio.to_thread(Accepted.read, file), used


def _costs(system: System, before: dict[str, float], messages: int) -> dict[str, Cost]:
    after = cpu_seconds(system)
    return {
        name: Cost((after[name] - before[name]) * 1e6 / messages, process.memory_info().rss / 2**20)
        for name, process in processes(system).items()
    }


def _print(options: IngestOptions, balance: Balance, seconds: float, costs: dict[str, Cost]) -> None:
    rate = options.messages / seconds
    total = sum(cost.cpu_s_per_million for name, cost in costs.items() if name != "(generator)")
    if options.as_json:
        figures = {
            "messages_per_s": round(rate, 1),
            "cpu_s_per_million": round(total, 1),
            "processes": {name: asdict(cost) for name, cost in costs.items()},
            **balance.as_dict(),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    table = Table(title=f"{options.messages} messages, {rate:.0f}/s from the first publish to the last row")
    for heading in ("process", "CPU-s per million", "MB"):
        table.add_column(heading, justify="left" if heading == "process" else "right")
    for name, cost in costs.items():
        table.add_row(name, f"{cost.cpu_s_per_million:.1f}", f"{cost.mb:.0f}" if cost.mb else "")
    table.add_row("all but the generator", f"{total:.1f}", "")
    Console().print(table)
