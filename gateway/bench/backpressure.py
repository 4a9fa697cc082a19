"""`gateway bench backpressure`: many times what the gateway sustains, its memory meanwhile, and the backlog afterwards.

The gateway is slowed down by a brake, its sustained rate is measured under it, and then the fleet publishes so many
times that rate. At the end the brake is lifted, for a flood that is over is what a backlog is caught up after.
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
_UNDER_WAY = 8000
"""Enough for every process to have work, and each batch to be full, at any time."""

_AHEAD = 1.05
"""How much faster is published than is asked for: the last PUBACKs take a moment, too."""

_LOOK_SECONDS = 0.5
_BETWEEN_LOOKS = 10
"""Looking takes from what is looked at: one part in so many at most."""

_TELL_SECONDS = 10.0
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class BackpressureOptions:
    """How many times the sustained rate for how long, from how many homes; processes run for `speed` of the time."""

    vens: int
    seconds: float
    times: float
    speed: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Flood:
    """What was published, and the first look after it, still under the brake; `ended` is in seconds since 1970."""

    published: PublishResult
    ended: float
    end: BacklogSample
    waiting: Mapping[str, int]


async def bench_backpressure(options: BackpressureOptions, stop: asyncio.Event) -> None:
    """Bring everything up, flood it, let it catch up, and print where the backlog lay and what it took.

    Raises:
        GatewayError: the books do not balance, and then there are no figures; or less was offered than was asked for.
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
            f"the generator offered {metrics.offered_per_s:.0f} messages/s, which is not {options.times:g} times the "
            "sustained rate: other work took the machine, or --speed has to be lower"
        )


async def measure(env: BenchEnvironment, options: BackpressureOptions) -> BackpressureMetrics:
    """Saturate, drain, flood, drain, and check the books.

    Raises:
        GatewayError: not all was stored, once and as it was; or a process ended meanwhile.
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
            flood = await _flood(env, backlog, generator, options, sustained)
        everything = before + flood.published.messages
        samples = await _catch_up(env, backlog, everything)
        peaks = {name: peak_mb(process) for name, process in processes(system).items()}
        reconciliation = await reconcile(system.database, await generator.ledger())
    ended = [name for name, worker in system.workers.items() if worker.restarts > restarts[name]]
    if ended:
        raise GatewayError(f"{', '.join(ended)} ended meanwhile, so the figures mean nothing; see {system.stack.logs}")
    if not reconciliation.passed:
        raise GatewayError(f"the books do not balance, so the figures mean nothing: {reconciliation}")
    return BackpressureMetrics(
        vens=options.vens,
        seconds=options.seconds,
        speed=throttle.share,
        sustained_per_s=sustained,
        offered_per_s=flood.published.messages / flood.published.seconds,
        messages=flood.published.messages,
        in_mqtt=everything - flood.end.received,
        in_log=flood.end.received - flood.end.stored,
        waiting=flood.waiting,
        drained=DrainTimes.of(samples, everything, since=flood.ended),
        ours={name: peaks[name] for name in peaks if name in system.workers},
        servers={name: peaks[name] for name in peaks if name not in system.workers},
        reconciliation=reconciliation,
    )


async def _saturate(
    env: BenchEnvironment, backlog: Backlog, generator: LoadGenerator, seconds: float
) -> tuple[int, float]:
    """Keep so much under way that all have work; returns how much was published, and how much a second was stored."""
    env.progress(f"finding the sustained rate, {seconds:.0f} s …")
    marks, published, begun = CommitRate(warm_up=seconds / 4), 0, time.monotonic()
    while (now := time.monotonic() - begun) < seconds or marks.per_second is None:
        asked = time.monotonic()
        number = await backlog.stored()
        counting = time.monotonic() - asked
        marks.note(time.monotonic() - begun, number)
        if now > seconds + _PATIENCE_SECONDS:
            raise GatewayError(f"too little is stored to tell a rate; see {env.system.stack.logs}")
        if published - number < _UNDER_WAY:
            published += (await generator.publish(_UNDER_WAY // 4)).messages
        else:
            await asyncio.sleep(max(0.1, _BETWEEN_LOOKS * counting))
    return published, marks.per_second


async def _flood(
    env: BenchEnvironment, backlog: Backlog, generator: LoadGenerator, options: BackpressureOptions, sustained: float
) -> _Flood:
    rate = options.times * sustained * _AHEAD
    env.progress(f"publishing {rate:.0f} messages/s for {options.seconds:.0f} s …")
    publishing = asyncio.create_task(generator.publish(round(rate * options.seconds), rate))
    try:
        published = await _while_it_lasts(env, backlog, publishing)
    finally:
        publishing.cancel()
    ended = time.time()
    return _Flood(published, ended, await backlog.sample(), await backlog.waiting())


async def _while_it_lasts(
    env: BenchEnvironment, backlog: Backlog, publishing: "asyncio.Task[PublishResult]"
) -> PublishResult:
    begun = time.monotonic()
    while not publishing.done():
        await asyncio.wait({publishing}, timeout=_TELL_SECONDS)
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
        if now - told > _TELL_SECONDS:
            told = now
            env.progress(
                f"{everything - sample.received} messages wait in the MQTT broker, "
                f"{sample.received - sample.stored} in Kafka; "
                f"live totals are {sample.live_age_s:.0f} s old, rows {sample.rows_age_s:.0f} s"
            )
        await asyncio.sleep(max(_LOOK_SECONDS, _BETWEEN_LOOKS * (now - asked)))
