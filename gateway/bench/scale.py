"""`gateway bench scale`: one to four workers of each stream role on this machine, and what bounds it."""

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from gateway.bench.environment import BenchEnvironment, environment
from gateway.bench.load_generator import LoadPlan
from gateway.bench.processes import processes
from gateway.bench.run import Run, run
from streams.roles import ROLES


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """Messages and homes of each run, and how many workers of a role at most."""

    messages: int
    vens: int
    workers: int
    as_json: bool


@dataclass(frozen=True, slots=True)
class Scaled:
    """One run: so many workers of a role, one of each other; `busiest` took `share` of a core.

    `machine` is the share of all cores that were at work, the generator's included.
    """

    role: str
    workers: int
    messages_per_s: float
    cpu_s_per_million: float
    busiest: str
    share: float
    machine: float


async def bench_scale(options: ScaleOptions, stop: asyncio.Event) -> None:
    """Run at full speed with one worker of each role, then with more of one role after the other."""
    async with environment(stop) as env:
        if env is None:
            return
        scaled = await measure(env, options)
    if options.as_json:
        sys.stdout.write(json.dumps({"cores": os.cpu_count(), "runs": [asdict(one) for one in scaled]}) + "\n")
        return
    table = Table(title=f"{options.messages} messages on {os.cpu_count()} cores")
    for heading in ("role", "workers", "messages/s", "CPU-s per million", "busiest", "of a core", "of the machine"):
        table.add_column(heading, justify="right")
    for one in scaled:
        metrics = f"{one.messages_per_s:.0f}", f"{one.cpu_s_per_million:.0f}"
        table.add_row(one.role, str(one.workers), *metrics, one.busiest, f"{one.share:.0%}", f"{one.machine:.0%}")
    Console().print(table)


async def measure(env: BenchEnvironment, options: ScaleOptions) -> list[Scaled]:
    """Each role has its workers taken away again before the next one gets more."""
    scaled = [_scaled("each", 1, await _run(env, options, "one"))]
    for role in ROLES:
        more = []
        for number in range(2, options.workers + 1):
            # Without a name of its own a worker gives its partitions back when it leaves.
            more.append(env.system.add_worker(role, number, named=False))
            await more[-1].start()
            await env.system.all_ready()
            scaled.append(_scaled(role, number, await _run(env, options, f"{role}{number}")))
            env.progress(f"{number} workers of {role}: {scaled[-1].messages_per_s:.0f} messages/s")
        for worker in more:
            await worker.stop()
            del env.system.workers[worker.name]
    return scaled


async def _run(env: BenchEnvironment, options: ScaleOptions, name: str) -> Run:
    topic = env.system.topics["MQTT_TOPIC_METERING"]
    return await run(
        env, LoadPlan(options.messages, options.vens, name, topic), env.system.database, processes(env.system)
    )


def _scaled(role: str, workers: int, outcome: Run) -> Scaled:
    shares = {name: cost.cpu_s_per_million * outcome.messages_per_s / 1e6 for name, cost in outcome.processes.items()}
    shares["generator"] = outcome.published.cpu_s / outcome.published.seconds
    busiest = max(shares, key=lambda name: shares[name])
    rate, cpu = round(outcome.messages_per_s, 1), round(outcome.cpu_s_per_million, 1)
    return Scaled(role, workers, rate, cpu, busiest, round(shares[busiest], 2), round(outcome.busy, 2))
