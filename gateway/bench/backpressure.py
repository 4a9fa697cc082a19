"""`gateway bench backpressure`: many times what the gateway sustains, its memory meanwhile, and the backlog afterwards.

The gateway is slowed down by a brake, its sustained rate is measured under it, and then the fleet publishes so many
times that rate. At the end the brake is lifted, for a flood that is over is what a backlog is caught up after.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.bench.backlog import Backlog, Look
from gateway.bench.backpressure_metrics import Drained, Figures, Marks, print_figures
from gateway.bench.environment import Stage, stage, unless_stopped
from gateway.bench.load_generator import Course, Load, Published, load
from gateway.bench.processes import peak_mb, processes
from gateway.bench.run import stored
from gateway.bench.throttle import braked
from gateway.local.database import connected
from gateway.reconciliation.telemetry import compare
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

    published: Published
    ended: float
    end: Look
    waiting: Mapping[str, int]


async def bench_backpressure(options: BackpressureOptions, stop: asyncio.Event) -> None:
    """Bring everything up, flood it, let it catch up, and print where the backlog lay and what it took.

    Raises:
        GatewayError: the books do not balance, and then there are no figures; or less was offered than was asked for.
    """
    async with stage(stop) as up:
        if up is None:
            return
        figures = await unless_stopped(stop, measure(up, options))
    if figures is None:
        return
    print_figures(figures, as_json=options.as_json)
    if figures.offered_per_s < options.times * figures.sustained_per_s:
        raise GatewayError(
            f"the generator offered {figures.offered_per_s:.0f} messages/s, which is not {options.times:g} times the "
            "sustained rate: other work took the machine, or --speed has to be lower"
        )


async def measure(up: Stage, options: BackpressureOptions) -> Figures:
    """Saturate, drain, flood, drain, and check the books.

    Raises:
        GatewayError: not all was stored, once and as it was; or a process ended meanwhile.
    """
    system = up.system
    course = Course(None, options.vens, PREFIX, system.topics["MQTT_TOPIC_METERING"])
    restarts = {name: worker.restarts for name, worker in system.workers.items()}
    async with connected(system.database, "bench") as pool, load(up, course) as generator:
        backlog = Backlog(up, pool, PREFIX)
        await backlog.begin()
        saturated = min(_SATURATED_SECONDS, 2 * options.seconds)
        async with braked(system.workers.values(), options.speed) as brake:
            before, sustained = await _saturate(up, backlog, generator, saturated)
        up.tell(f"sustained: {sustained:.0f} messages/s at {brake.share:.0%} of the time")
        await stored(up, system.database, PREFIX, before)
        async with braked(system.workers.values(), options.speed) as brake:
            flood = await _flood(up, backlog, generator, options, sustained)
        everything = before + flood.published.messages
        looks = await _catch_up(up, backlog, everything)
        peaks = {name: peak_mb(process) for name, process in processes(system).items()}
        balance = await compare(system.database, await generator.ledger())
    ended = [name for name, worker in system.workers.items() if worker.restarts > restarts[name]]
    if ended:
        raise GatewayError(f"{', '.join(ended)} ended meanwhile, so the figures mean nothing; see {system.stack.logs}")
    if not balance.balanced:
        raise GatewayError(f"the books do not balance, so the figures mean nothing: {balance}")
    return Figures(
        vens=options.vens,
        seconds=options.seconds,
        speed=brake.share,
        sustained_per_s=sustained,
        offered_per_s=flood.published.messages / flood.published.seconds,
        messages=flood.published.messages,
        in_mqtt=everything - flood.end.received,
        in_log=flood.end.received - flood.end.stored,
        waiting=flood.waiting,
        drained=Drained.of(looks, everything, since=flood.ended),
        ours={name: peaks[name] for name in peaks if name in system.workers},
        servers={name: peaks[name] for name in peaks if name not in system.workers},
        balance=balance,
    )


async def _saturate(up: Stage, backlog: Backlog, generator: Load, seconds: float) -> tuple[int, float]:
    """Keep so much under way that all have work; returns how much was published, and how much a second was stored."""
    up.tell(f"finding the sustained rate, {seconds:.0f} s …")
    marks, published, begun = Marks(warm_up=seconds / 4), 0, time.monotonic()
    while (now := time.monotonic() - begun) < seconds or marks.per_second is None:
        asked = time.monotonic()
        number = await backlog.stored()
        counting = time.monotonic() - asked
        marks.note(time.monotonic() - begun, number)
        if now > seconds + _PATIENCE_SECONDS:
            raise GatewayError(f"too little is stored to tell a rate; see {up.system.stack.logs}")
        if published - number < _UNDER_WAY:
            published += (await generator.publish(_UNDER_WAY // 4)).messages
        else:
            await asyncio.sleep(max(0.1, _BETWEEN_LOOKS * counting))
    return published, marks.per_second


async def _flood(
    up: Stage, backlog: Backlog, generator: Load, options: BackpressureOptions, sustained: float
) -> _Flood:
    rate = options.times * sustained * _AHEAD
    up.tell(f"publishing {rate:.0f} messages/s for {options.seconds:.0f} s …")
    publishing = asyncio.create_task(generator.publish(round(rate * options.seconds), rate))
    try:
        published = await _while_it_lasts(up, backlog, publishing)
    finally:
        publishing.cancel()
    ended = time.time()
    return _Flood(published, ended, await backlog.look(), await backlog.waiting())


async def _while_it_lasts(up: Stage, backlog: Backlog, publishing: "asyncio.Task[Published]") -> Published:
    begun = time.monotonic()
    while not publishing.done():
        await asyncio.wait({publishing}, timeout=_TELL_SECONDS)
        if not publishing.done():
            look = await backlog.look()
            seconds = time.monotonic() - begun
            up.tell(f"{seconds:.0f} s: the bridge has taken {look.received} in all, {look.stored} are stored")
    return publishing.result()


async def _catch_up(up: Stage, backlog: Backlog, everything: int) -> list[Look]:
    """Look until all is stored and the live totals hold it, too."""
    looks: list[Look] = []
    told = moved = time.monotonic()
    all_received: float | None = None
    while True:
        asked = time.monotonic()
        looks.append(look := await backlog.look())
        now = time.monotonic()
        if all_received is None and look.received >= everything:
            all_received = look.at
        if look.stored >= everything and all_received is not None and look.live_as_of >= all_received:
            return looks
        if look.progress != looks[max(0, len(looks) - 2)].progress:
            moved = now
        elif now - moved > _PATIENCE_SECONDS:
            raise GatewayError(
                f"{look.stored} of {everything} are stored, and no more come; see {up.system.stack.logs}"
            )
        if now - told > _TELL_SECONDS:
            told = now
            up.tell(
                f"{everything - look.received} wait in the MQTT broker, {look.received - look.stored} in the log; "
                f"live totals are {look.live_age_s:.0f} s old, rows {look.rows_age_s:.0f} s"
            )
        await asyncio.sleep(max(_LOOK_SECONDS, _BETWEEN_LOOKS * (now - asked)))
