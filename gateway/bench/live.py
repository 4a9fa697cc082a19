"""`gateway bench live`: what GET /api/stats/network costs with a small and a large fleet, and what `live` does."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from gateway.bench.environment import environment
from gateway.bench.seed_data import FleetHistory, seed_history
from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.kafka import producer
from schemas.base.errors import GatewayError
from schemas.records.telemetry import Load, Reading, encode_record
from schemas.records.topics import TELEMETRY

WAIT_SECONDS = 300
SILENCE = {"OFFLINE_AFTER_SECONDS": "900"}
"""Each VEN sends one sample, and must stay online until the measurement ends."""

CPU_SECONDS = 5.0
_CHUNK = 5000
LOADS = tuple(
    Load(f"load{number}", type=kind, capacity_kw=7.2, current_power_kw=number / 4, shed_capability_kw=number / 4)
    for number, kind in enumerate(("hvac", "heater", "ev", "dryer", "range", "lights", "outlets", "fridge"), 1)
)


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """The number of VENs of the small and the large fleet, and the number of timed requests."""

    few: int
    many: int
    requests: int
    as_json: bool


class Cost(NamedTuple):
    """CPU time of the API per request and median response time, in ms; CPU seconds of `live` per second.

    The CPU time is compared, because response times depend on the load of the machine. The CPU time that the API uses
    without requests is subtracted.
    """

    cpu_ms: float
    p50_ms: float
    live_cpu: float


async def bench_live(options: LiveOptions, stop: asyncio.Event) -> None:
    """Time the request with few VENs online, then with many.

    Raises:
        GatewayError: the live totals do not match what was published.
    """
    async with environment(stop, SILENCE) as env:
        if env is None:
            return
        few = await _measure(env.system, 0, options.few, options.requests, env.progress)
        many = await _measure(env.system, options.few, options.many, options.requests, env.progress)
    metrics = {
        "few": few._asdict(),
        "many": many._asdict(),
        "ratio": round(many.cpu_ms / few.cpu_ms, 2),
    }
    if options.as_json:
        sys.stdout.write(json.dumps(metrics) + "\n")
        return
    console = Console()
    console.print(f"GET /api/stats/network with {options.few} VENs online: {few.cpu_ms} ms of CPU, p50 {few.p50_ms} ms")
    console.print(
        f"with {options.many}: {many.cpu_ms} ms of CPU, p50 {many.p50_ms} ms; {metrics['ratio']} times the CPU"
    )
    console.print(f"`live` then takes {many.live_cpu:.0%} of a core without messages")


async def _measure(system: System, first: int, vens: int, requests: int, progress: Callable[[str], None]) -> Cost:
    """Bring `vens` VENs online, and time the request."""
    await seed_history(system.database, FleetHistory(first, vens, 0, 0), progress)
    await _publish(system, vens)
    async with httpx.AsyncClient(base_url=system.api, trust_env=False, timeout=30) as client:

        async def all_online() -> bool:
            stats = (await client.get("/api/stats/network")).json()
            return bool(stats.get("onlineVens") == vens == stats.get("venCount"))

        progress(f"waiting until {vens} VENs are online …")
        if not await wait_until(all_online, WAIT_SECONDS):
            raise GatewayError(f"{vens} VENs were not online within {WAIT_SECONDS} s")
        await _until_quiet(system)
        begun, before = time.monotonic(), await _cpu_seconds(system, "streams-live")
        api_before = await _cpu_seconds(system, "api")
        took = [await _timed(client) for _ in range(requests)]
        calls_cpu, calls_seconds = await _cpu_seconds(system, "api") - api_before, time.monotonic() - begun
        api_before, rested = await _cpu_seconds(system, "api"), time.monotonic()
        await asyncio.sleep(CPU_SECONDS)
        idle = (await _cpu_seconds(system, "api") - api_before) / (time.monotonic() - rested)
        api_cpu = calls_cpu - idle * calls_seconds
        cpu = (await _cpu_seconds(system, "streams-live") - before) / (time.monotonic() - begun)
        if not await all_online():
            raise GatewayError("VENs went offline during the measurement; use fewer VENs on this machine")
    return Cost(round(api_cpu * 1000 / requests, 3), round(median(took), 2), round(cpu, 3))


async def _publish(system: System, vens: int) -> None:
    """Publish one reading of each VEN to the topic that `live` reads."""
    now = datetime.now(UTC)
    async with producer(system.kafka, "gateway-bench") as log:
        for begin in range(0, vens, _CHUNK):
            for number in range(begin, min(vens, begin + _CHUNK)):
                ven_id = f"ven-{number:06d}"
                reading = Reading(ven_id=ven_id, timestamp=now, received_at=now, used_power_kw=1.0, loads=LOADS)
                await log.send(system.kafka.topics(TELEMETRY), encode_record(reading), key=ven_id.encode())
            await log.flush()


async def _timed(client: httpx.AsyncClient) -> float:
    begun = time.perf_counter()
    answer = await client.get("/api/stats/network")
    took = (time.perf_counter() - begun) * 1000
    answer.raise_for_status()
    return took


async def _until_quiet(system: System) -> None:
    """Wait until the sink has stored everything, or it would compete for the cores."""

    async def quiet() -> bool:
        before = await _cpu_seconds(system, "streams-sink")
        await asyncio.sleep(1)
        return await _cpu_seconds(system, "streams-sink") - before < 0.2  # noqa: PLR2004 - seconds per second: idle

    await wait_until(quiet, WAIT_SECONDS)


async def _cpu_seconds(system: System, worker: str) -> float:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        text = (await client.get(f"{system.workers[worker].health}/metrics")).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "process_cpu_seconds_total":
                return float(sample.value)
    raise GatewayError(f"{worker} has no metric process_cpu_seconds_total")
