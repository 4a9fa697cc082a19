"""`gateway bench latency`: the time from publishing a sample to REST, at shares of the sustained rate."""

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from gateway.bench.environment import BenchEnvironment, environment
from gateway.bench.load_generator import LoadPlan, load_generator
from gateway.bench.percentiles import nearest_rank
from gateway.bench.processes import processes
from gateway.bench.run import run
from gateway.fleet.publisher import Publisher
from schemas.base.errors import GatewayError

SHARES = (0.5, 0.9)
PROBE = "bench-probe"
_POLL_SECONDS = 0.01
_PAUSE_SECONDS = 0.1
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class LatencyOptions:
    """Messages of each run that measures the sustained rate, number of homes, and seconds at each rate."""

    messages: int
    vens: int
    seconds: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from publishing a sample to the first REST response with it, at `rate` messages per second."""

    share: float
    rate: float
    probes: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


async def bench_latency(options: LatencyOptions, stop: asyncio.Event) -> None:
    """Measure the sustained rate, then the latency at shares of it.

    Raises:
        GatewayError: a probe did not become visible.
    """
    async with environment(stop) as env:
        if env is None:
            return
        sustained, latencies = await measure(env, options)
    if options.as_json:
        metrics = {"messages_per_s": round(sustained, 1), "latencies": [asdict(latency) for latency in latencies]}
        sys.stdout.write(json.dumps(metrics) + "\n")
        return
    table = Table(title=f"publish to REST; the sustained rate is {sustained:.0f} messages/s")
    for heading in ("messages/s", "probes", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for latency in latencies:
        times = (f"{ms:.0f}" for ms in (latency.p50_ms, latency.p95_ms, latency.p99_ms))
        table.add_row(f"{latency.rate:.0f} ({latency.share:.0%})", str(latency.probes), *times)
    Console().print(table)


async def measure(env: BenchEnvironment, options: LatencyOptions) -> tuple[float, list[Latency]]:
    """Return the sustained rate (median of three runs at full speed) and the latencies."""
    system = env.system
    topic = system.topics["MQTT_TOPIC_METERING"]
    rates = []
    for number in range(3):
        plan = LoadPlan(options.messages, options.vens, f"full{number}", topic)
        rates.append((await run(env, plan, system.database, processes(system))).messages_per_s)
    sustained = median(rates)
    env.progress(f"sustained: {sustained:.0f} messages/s")
    return sustained, [await _at(env, options, share, sustained * share) for share in SHARES]


async def _at(env: BenchEnvironment, options: LatencyOptions, share: float, rate: float) -> Latency:
    system, messages = env.system, round(rate * options.seconds)
    topic = system.topics["MQTT_TOPIC_METERING"]
    env.progress(f"probing at {rate:.0f} messages/s for {options.seconds:.0f} s …")
    async with load_generator(env, LoadPlan(messages, options.vens, f"share{share * 100:.0f}", topic)) as generator:
        publishing = asyncio.create_task(generator.publish(messages, rate))
        # The pipeline is still filling in the first seconds.
        await asyncio.sleep(min(5.0, options.seconds / 4))
        seconds = sorted(await _probe(env, topic, publishing))
        await publishing
    if not seconds:
        raise GatewayError("no probe was answered while there was load; use more --seconds")
    p50, p95, p99 = (round(nearest_rank(seconds, part) * 1000, 1) for part in (0.5, 0.95, 0.99))
    return Latency(share, round(rate, 1), len(seconds), p50, p95, p99)


async def _probe(env: BenchEnvironment, topic: str, publishing: "asyncio.Task[object]") -> list[float]:
    """Publish a sample, poll REST until it is visible, and repeat while the load lasts; returns seconds."""
    stack, seconds = env.system.stack, list[float]()
    async with (
        httpx.AsyncClient(base_url=env.system.api, trust_env=False, timeout=30) as client,
        Publisher(stack.mqtt_host, stack.mqtt_port, PROBE) as publisher,
    ):
        for number in itertools.count():
            if publishing.done():
                return seconds
            await publisher.wait_for_capacity()
            sample = {"venId": PROBE, "timestamp": int(time.time() * 1000), "usedPowerKw": float(number), "loads": []}
            begun = time.monotonic()
            publisher.send(topic, msgspec.json.encode(sample), lambda: None)
            while not await _is_visible(client, number):
                if time.monotonic() - begun > _PATIENCE_SECONDS:
                    raise GatewayError(f"a sample was not visible {_PATIENCE_SECONDS} s after it was published")
                await asyncio.sleep(_POLL_SECONDS)
            seconds.append(time.monotonic() - begun)
            await asyncio.sleep(_PAUSE_SECONDS)
    return seconds


async def _is_visible(client: httpx.AsyncClient, number: int) -> bool:
    answer = await client.get(f"/api/vens/{PROBE}")
    return answer.is_success and answer.json()["metrics"]["currentPowerKw"] == number
