"""`gateway bench events`: the time until every VEN has its event command, step by step."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import httpx
from rich.console import Console
from rich.table import Table

from gateway.bench.environment import environment
from gateway.bench.percentiles import nearest_rank
from gateway.bench.processes import cpu_seconds, processes
from gateway.local.system import System
from gateway.reconciliation.command_observer import CommandObserver, observe_commands
from gateway.stack.polling import wait_until
from runtime.database import connect_options
from schemas.base.errors import GatewayError
from schemas.dr.commands import EVENT

ONLINE_SECONDS = 180
COMMAND_SECONDS = 120
EVENT_SECONDS = 600
# Enough to stay online, and few enough not to disturb the measurement.
SAMPLES_PER_SECOND = 250
SHORTEST_INTERVAL_SECONDS = 1.0
LONGEST_INTERVAL_SECONDS = 20.0
KW_EACH = 0.3

ONLINE = "SELECT count(*) FROM ven_status WHERE reading_received_at > now() - interval '60 seconds'"
ACKNOWLEDGED = """
SELECT count(*) FROM commands
WHERE event_id = $1 AND phase = 'event' AND sent_at IS NOT NULL AND acked_at IS NOT NULL
"""
# Seconds after the start.
STEPS = """
SELECT extract(epoch FROM created_at - $2)::float8 AS decided, extract(epoch FROM logged_at - $2)::float8 AS logged,
       extract(epoch FROM sending_at - $2)::float8 AS sending, extract(epoch FROM sent_at - $2)::float8 AS sent,
       extract(epoch FROM acked_at - $2)::float8 AS answered
FROM commands WHERE event_id = $1 AND phase = 'event'
"""


@dataclass(frozen=True, slots=True)
class EventsOptions:
    """The number of VENs, and the output format."""

    vens: int
    as_json: bool


class Step(NamedTuple):
    """When commands passed a step, in seconds after the start: median, 95th percentile and the last one."""

    p50_s: float
    p95_s: float
    last_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Step":
        """Summarize; `seconds` is not empty."""
        ordered = sorted(seconds)
        return cls(*(round(nearest_rank(ordered, share), 3) for share in (0.5, 0.95, 1.0)))


async def bench_events(options: EventsOptions, stop: asyncio.Event) -> None:
    """Start everything with a fleet, create one event, and time its commands with an independent subscriber.

    Raises:
        GatewayError: not every VEN received exactly one command, so there is no result.
    """
    async with environment(stop) as env:
        if env is None:
            return
        system, stack = env.system, env.system.stack
        async with (
            _fleet(system, options.vens),
            observe_commands(stack.mqtt_host, stack.mqtt_port, "gateway-bench") as observer,
        ):
            before = await _online(system, options.vens, env.progress)
            steps = await _measure(system, options.vens, observer, env.progress)
            costs = {name: round(used - before[name], 2) for name, used in cpu_seconds(processes(system)).items()}
    _print(options, steps, costs)


@asynccontextmanager
async def _fleet(system: System, vens: int) -> AsyncIterator[Process]:
    """Run a fleet inside the block, in a separate process."""
    interval = min(LONGEST_INTERVAL_SECONDS, max(SHORTEST_INTERVAL_SECONDS, vens / SAMPLES_PER_SECOND))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate"),
        *("--mqtt", f"{system.stack.mqtt_host}:{system.stack.mqtt_port}"),
        *("--vens", str(vens), "--interval", str(interval), "--no-loads"),
        stdout=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()


async def _online(system: System, vens: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Wait until the fleet is online; returns the CPU seconds of each process so far."""
    connection = await asyncpg.connect(**connect_options(system.database, "gateway-bench"))
    try:

        async def online() -> bool:
            return bool(await connection.fetchval(ONLINE) >= vens)

        progress(f"waiting until {vens} VENs are online …")
        if not await wait_until(online, ONLINE_SECONDS, every=0.5):
            raise GatewayError(f"not all VENs came online within {ONLINE_SECONDS} s; try fewer with --vens")
    finally:
        await connection.close()
    return cpu_seconds(processes(system))


async def _measure(
    system: System, vens: int, observer: CommandObserver, progress: Callable[[str], None]
) -> dict[str, Step]:
    connection = await asyncpg.connect(**connect_options(system.database, "gateway-bench"))
    try:
        event_id, start = await _create(system.api, vens)
        progress(f"{event_id} begins")
        if not await observer.wait_for_count(event_id, EVENT, vens, COMMAND_SECONDS):
            received = len(observer.commands(event_id, EVENT))
            raise GatewayError(f"only {received} of {vens} VENs received the command within {COMMAND_SECONDS} s")

        async def acknowledged() -> bool:
            return bool(await connection.fetchval(ACKNOWLEDGED, event_id) >= vens)

        if not await wait_until(acknowledged, COMMAND_SECONDS, every=0.5):
            raise GatewayError(f"not every command was sent and acknowledged within {COMMAND_SECONDS} s")
        rows = await connection.fetch(STEPS, event_id, start)
    finally:
        await connection.close()
    repeated = {ven_id for (ven_id, _), number in observer.counts(event_id).items() if number > 1}
    if repeated or len(rows) != vens:
        raise GatewayError(f"{len(rows)} commands for {vens} VENs, {len(repeated)} VENs received more than one")
    steps = {
        name: Step.of([row[name] for row in rows]) for name in ("decided", "logged", "sending", "sent", "answered")
    }
    return steps | {"on the wire": Step.of([one.at - start.timestamp() for one in observer.commands(event_id, EVENT)])}


async def _create(api: str, vens: int) -> tuple[str, datetime]:
    now = datetime.now(UTC)
    body: dict[str, Any] = {
        "startTime": now.isoformat(),
        "endTime": (now + timedelta(seconds=EVENT_SECONDS)).isoformat(),
        "requestedReductionKw": vens * KW_EACH,
        "status": "active",
    }
    async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=30) as client:
        created = (await client.post("/api/events", json=body)).raise_for_status().json()
    return created["id"], datetime.fromisoformat(created["startTime"])


def _print(options: EventsOptions, steps: dict[str, Step], costs: dict[str, float]) -> None:
    last = steps["on the wire"].last_s
    if options.as_json:
        metrics = {
            "vens": options.vens,
            "last_command_s": last,
            "steps": {name.replace(" ", "_"): step._asdict() for name, step in steps.items()},
            "cpu_s": costs,
        }
        sys.stdout.write(json.dumps(metrics) + "\n")
        return
    table = Table(title=f"{options.vens} VENs received the command within {last:.2f} s of the start")
    for heading in ("seconds after the start until", "p50", "p95", "last"):
        table.add_column(heading, justify="left" if len(heading) > len("last") else "right")
    for name, step in steps.items():
        table.add_row(name, *(f"{seconds:.2f}" for seconds in step))
    Console().print(table)
    Console().print("CPU seconds: " + ", ".join(f"{name} {used:.1f}" for name, used in costs.items()), highlight=False)
