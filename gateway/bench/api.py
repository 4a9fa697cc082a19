"""`gateway bench api`: how long the calls of dashboards take, on a database filled with the past of a fleet."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import cycle, islice
from statistics import quantiles
from typing import NamedTuple

import httpx
from rich.console import Console
from rich.table import Table

from gateway.bench.environment import environment
from gateway.bench.seed_data import SPAN, FleetHistory, seed_history
from gateway.local.system import System
from schemas.base.errors import GatewayError


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How large the fleet is, what of it is written, and how it is asked for.

    `grow_to` is a number of readings for a second look, 0 for none.
    """

    vens: int
    readings: int
    loads: int
    clients: int
    requests: int
    grow_to: int
    as_json: bool


class Timing(NamedTuple):
    """Milliseconds that a call took."""

    p50_ms: float
    p95_ms: float


HISTORY = "24 h history of a VEN"
GROWN_STEPS = SPAN // timedelta(seconds=5)
"""Added homes report as often as real ones, so that a minute of theirs holds as many readings as a real one."""


def calls(vens: int) -> dict[str, Iterator[str]]:
    """Paths by the name of the call; those of single VENs go round the fleet."""
    some = [f"ven-{number:06d}" for number in range(0, vens, max(1, vens // 97))]
    return {
        "page of VENs": cycle(["/api/vens?limit=100"]),
        "page of summaries": cycle(["/api/vens/summary?limit=100"]),
        "one VEN": cycle([f"/api/vens/{ven_id}" for ven_id in some]),
        HISTORY: cycle([f"/api/vens/{ven_id}/history" for ven_id in some]),
        "24 h history of a load": cycle([f"/api/vens/{ven_id}/loads/load1/history" for ven_id in some]),
        "network": cycle(["/api/stats/network"]),
        "24 h history of the network": cycle(["/api/stats/network/history"]),
    }


async def bench_api(options: ApiOptions, stop: asyncio.Event) -> None:
    """Fill a database, start everything on it, and time the calls.

    Raises:
        GatewayError: a call was not answered with 200.
    """
    async with environment(stop) as env:
        if env is None:
            return
        steps = max(1, options.readings // options.vens)
        await seed_history(env.system.database, FleetHistory(0, options.vens, steps, options.loads), env.progress)
        timings = {}
        for name, paths in calls(options.vens).items():
            env.progress(f"asking: {name} …")
            timings[name] = await _time(env.system.api, paths, options)
        ratio = None
        if options.grow_to:
            before, after = await _grow(env.system, options, env.progress)
            timings |= {f"{HISTORY}, one client": before, f"… with {options.grow_to} readings": after}
            ratio = round(after.p50_ms / before.p50_ms, 2)
    _print(options, timings, ratio)


async def _grow(system: System, options: ApiOptions, progress: Callable[[str], None]) -> tuple[Timing, Timing]:
    """Time the histories of the same VENs, by a single client, before and after others fill the same two days."""
    alone = replace(options, clients=1)
    before = await _time(system.api, calls(options.vens)[HISTORY], alone)
    added = max(1, round((options.grow_to - options.readings) / GROWN_STEPS))
    await seed_history(system.database, FleetHistory(options.vens, options.vens + added, GROWN_STEPS, 0), progress)
    return before, await _time(system.api, calls(options.vens)[HISTORY], alone)


async def _time(api: str, paths: Iterator[str], options: ApiOptions) -> Timing:
    took: list[float] = []
    todo = list(islice(paths, options.requests))

    async def client() -> None:
        async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=60) as http:
            while todo:
                path = todo.pop()
                begun = time.perf_counter()
                answer = await http.get(path)
                took.append((time.perf_counter() - begun) * 1000)
                if answer.status_code != httpx.codes.OK:
                    raise GatewayError(f"{path} was answered with {answer.status_code}: {answer.text[:200]}")

    await asyncio.gather(*(client() for _ in range(options.clients)))
    cuts = quantiles(took, n=100)
    return Timing(round(cuts[49], 1), round(cuts[94], 1))


def _print(options: ApiOptions, timings: dict[str, Timing], ratio: float | None) -> None:
    if options.as_json:
        metrics = {"calls": {name: timing._asdict() for name, timing in timings.items()}, "ratio": ratio}
        sys.stdout.write(json.dumps(metrics) + "\n")
        return
    console = Console()
    table = Table(title=f"{options.vens} VENs, {options.readings} readings, {options.clients} clients at once")
    for heading in ("call", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "call" else "right")
    for name, timing in timings.items():
        table.add_row(name, f"{timing.p50_ms:.1f}", f"{timing.p95_ms:.1f}")
    console.print(table)
    if ratio is not None:
        console.print(f"{HISTORY}: {ratio} times as long with {options.grow_to} readings in all")
