"""`gateway bench backpressure`: a multiple of the sustained rate, memory during the overload, and the backlog.

The gateway is throttled and its sustained rate measured. Then the fleet publishes a multiple of that rate. After the
overload, the throttle is removed and the backlog drains at full speed.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.bench.backlog import Backlog, BacklogSample
from gateway.bench.backpressure_metrics import BackpressureMetrics, CommitRate, DrainTimes, print_metrics
from gateway.bench.environment import BenchEnvironment, environment, unless_stopped
from gateway.bench.load_generator import LoadGenerator, LoadPlan, PublishResult, load_generator
from gateway.bench.processes import peak_mb, processes
from gateway.bench.run import stored
from gateway.bench.throttle import throttled
from gateway.local.database import connected
from gateway.reconciliation.telemetry import reconcile
from schemas.base.errors import GatewayError

PREFIX = "flood"
_SATURATED_SECONDS = 20.0
_IN_FLIGHT = 8000
"""Messages in flight: enough to keep every process busy and every batch full."""

_AHEAD = 1.05
"""Factor on the requested rate, because waiting for the last PUBACKs lowers it."""

_POLL_SECONDS = 0.5
_POLL_SHARE = 10
"""Sampling takes resources from the system: at most this fraction of the time."""

_PROGRESS_SECONDS = 10.0
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class BackpressureOptions:
    """Overload of `times` the sustained rate for `seconds`; our processes run for `speed` of the time."""

    vens: int
    seconds: float
    times: float
    speed: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Overload:
    """The messages published, and the first sample after them, still throttled; `ended` is in Unix seconds."""

    published: PublishResult
    ended: float
    end: BacklogSample
    waiting: Mapping[str, int]


async def bench_backpressure(options: BackpressureOptions, stop: asyncio.Event) -> None:
    """Start everything, overload it, let it drain, and print the backlog, drain times and memory.

    Raises:
        GatewayError: reconciliation failed, so there is no result; or the load was lower than requested.
    """
    async with environment(stop) as env:
        if env is None:
            return
        metrics = await unless_stopped(stop, measure(env, options))
    if metrics is None:
        return
    print_metrics(metrics, as_json=options.as_json)
    if metrics.offered_per_s < options.times * metrics.sustained_per_s:
        raise GatewayError(
            f"the generator offered {metrics.offered_per_s:.0f} messages/s, less than {options.times:g} times the "
            "sustained rate: the machine was busy; stop other programs, or lower --speed"
        )


async def measure(env: BenchEnvironment, options: BackpressureOptions) -> BackpressureMetrics:
    """Saturate, drain, overload, drain, and reconcile.

    Raises:
        GatewayError: reconciliation failed, or a process ended.
    """
    system = env.system
    plan = LoadPlan(None, options.vens, PREFIX, system.topics["MQTT_TOPIC_METERING"])
    restarts = {name: worker.restarts for name, worker in system.workers.items()}
    async with connected(system.database, "bench") as pool, load_generator(env, plan) as generator:
        backlog = Backlog(env, pool, PREFIX)
        await backlog.begin()
        saturated = min(_SATURATED_SECONDS, 2 * options.seconds)
        async with throttled(system.workers.values(), options.speed) as throttle:
            before, sustained = await _saturate(env, backlog, generator, saturated)
        env.progress(f"sustained: {sustained:.0f} messages/s at {throttle.share:.0%} of the time")
        await stored(env, system.database, PREFIX, before)
        async with throttled(system.workers.values(), options.speed) as throttle:
            overload = await _overload(env, backlog, generator, options, sustained)
        everything = before + overload.published.messages
        samples = await _catch_up(env, backlog, everything)
        peaks = {name: peak_mb(process) for name, process in processes(system).items()}
        reconciliation = await reconcile(system.database, await generator.ledger())
    ended = [name for name, worker in system.workers.items() if worker.restarts > restarts[name]]
    if ended:
        raise GatewayError(f"{', '.join(ended)} ended during the run, so there is no result; see {system.stack.logs}")
    if not reconciliation.passed:
        raise GatewayError(f"reconciliation failed, so there is no result: {reconciliation}")
    return BackpressureMetrics(
        vens=options.vens,
        seconds=options.seconds,
        speed=throttle.share,
        sustained_per_s=sustained,
        offered_per_s=overload.published.messages / overload.published.seconds,
        messages=overload.published.messages,
        in_mqtt=everything - overload.end.received,
        in_log=overload.end.received - overload.end.stored,
        waiting=overload.waiting,
        drained=DrainTimes.of(samples, everything, since=overload.ended),
        ours={name: peaks[name] for name in peaks if name in system.workers},
        servers={name: peaks[name] for name in peaks if name not in system.workers},
        reconciliation=reconciliation,
    )


async def _saturate(
    env: BenchEnvironment, backlog: Backlog, generator: LoadGenerator, seconds: float
) -> tuple[int, float]:
    """Keep every process busy; returns the number of messages published, and the rate at which they were stored."""
    env.progress(f"measuring the sustained rate, {seconds:.0f} s …")
    marks, published, begun = CommitRate(warm_up=seconds / 4), 0, time.monotonic()
    while (now := time.monotonic() - begun) < seconds or marks.per_second is None:
        asked = time.monotonic()
        number = await backlog.stored()
        counting = time.monotonic() - asked
        marks.note(time.monotonic() - begun, number)
        if now > seconds + _PATIENCE_SECONDS:
            raise GatewayError(f"too few samples are stored to measure a rate; see {env.system.stack.logs}")
        if published - number < _IN_FLIGHT:
            published += (await generator.publish(_IN_FLIGHT // 4)).messages
        else:
            await asyncio.sleep(max(0.1, _POLL_SHARE * counting))
    return published, marks.per_second


async def _overload(
    env: BenchEnvironment, backlog: Backlog, generator: LoadGenerator, options: BackpressureOptions, sustained: float
) -> _Overload:
    rate = options.times * sustained * _AHEAD
    env.progress(f"publishing {rate:.0f} messages/s for {options.seconds:.0f} s …")
    publishing = asyncio.create_task(generator.publish(round(rate * options.seconds), rate))
    try:
        published = await _report_while_publishing(env, backlog, publishing)
    finally:
        publishing.cancel()
    ended = time.time()
    return _Overload(published, ended, await backlog.sample(), await backlog.waiting())


async def _report_while_publishing(
    env: BenchEnvironment, backlog: Backlog, publishing: "asyncio.Task[PublishResult]"
) -> PublishResult:
    begun = time.monotonic()
    while not publishing.done():
        await asyncio.wait({publishing}, timeout=_PROGRESS_SECONDS)
        if not publishing.done():
            sample = await backlog.sample()
            seconds = time.monotonic() - begun
            env.progress(f"{seconds:.0f} s: the bridge has taken {sample.received} in all, {sample.stored} are stored")
    return publishing.result()


async def _catch_up(env: BenchEnvironment, backlog: Backlog, everything: int) -> list[BacklogSample]:
    """Look until all is stored and the live totals hold it, too."""
    samples: list[BacklogSample] = []
    told = moved = time.monotonic()
    all_received: float | None = None
    while True:
        asked = time.monotonic()
        samples.append(sample := await backlog.sample())
        now = time.monotonic()
        if all_received is None and sample.received >= everything:
            all_received = sample.at
        if sample.stored >= everything and all_received is not None and sample.live_as_of >= all_received:
            return samples
        if sample.progress != samples[max(0, len(samples) - 2)].progress:
            moved = now
        elif now - moved > _PATIENCE_SECONDS:
            raise GatewayError(
                f"{sample.stored} of {everything} are stored, and no more come; see {env.system.stack.logs}"
            )
        if now - told > _PROGRESS_SECONDS:
            told = now
            env.progress(
                f"{everything - sample.received} messages wait in the MQTT broker, "
                f"{sample.received - sample.stored} in Kafka; "
                f"live totals are {sample.live_age_s:.0f} s old, rows {sample.rows_age_s:.0f} s"
            )
        await asyncio.sleep(max(_POLL_SECONDS, _POLL_SHARE * (now - asked)))
