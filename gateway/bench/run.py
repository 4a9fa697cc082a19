"""One run: a load at full speed, from its first publish to its last row, with what every process used meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import psutil

from gateway.bench.environment import BenchEnvironment
from gateway.bench.load_generator import LoadGenerator, LoadPlan, PublishResult, load_generator
from gateway.bench.processes import cpu_seconds, peak_mb
from gateway.local.database import connected
from gateway.reconciliation.telemetry import Reconciliation, reconcile
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings

_WARM_UP_SHARE = 0.1
_PATIENCE_SECONDS = 120
_AHEAD = 50_000
"""How many messages are published and not yet stored, or a little more: the generator is faster than all that it feeds,
so everybody always has work, and the broker's memory is not filled with it."""

_AT_ONCE = 5_000
_LOOK_SECONDS = 0.05
_SOME_VENS = 32

STORED = "SELECT count(*) FROM telemetry_readings WHERE ven_id > $1 AND ven_id < $2"
STORED_OF = "SELECT count(*) FROM telemetry_readings WHERE ven_id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process and its children used: CPU seconds per million messages, and resident memory at most."""

    cpu_s_per_million: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Run:
    """Messages a second from the first publish to the last row, and what each process used.

    `busy` is the share of all cores that were at work, by whomever.
    """

    messages_per_s: float
    processes: Mapping[str, Cost]
    reconciliation: Reconciliation
    published: PublishResult
    busy: float

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of all processes, the generator left out."""
        return sum(cost.cpu_s_per_million for cost in self.processes.values())

    @property
    def summary(self) -> str:
        """A line for people."""
        return f"{self.messages_per_s:.0f} messages/s, {self.cpu_s_per_million:.0f} CPU seconds per million"


async def run(
    env: BenchEnvironment, plan: LoadPlan, database: DatabaseSettings, used: Mapping[str, psutil.Process]
) -> Run:
    """Publish a tenth to warm up, then the rest, and count what that costs until its last row is in `database`.

    Raises:
        GatewayError: not all was stored, once and as it was.
    """
    if plan.messages is None:
        raise ValueError("a run has an end")
    warm_up = max(1, round(plan.messages * _WARM_UP_SHARE))
    all_of_it = warm_up + plan.messages
    env.progress(f"making {all_of_it} messages …")
    async with load_generator(env, replace(plan, messages=all_of_it)) as generator:
        await generator.publish(warm_up)
        await stored(env, database, plan.prefix, warm_up)
        before, begun = cpu_seconds(used), time.monotonic()
        psutil.cpu_percent()
        published = await _publish(env, database, plan, generator, warm_up)
        await stored(env, database, plan.prefix, all_of_it)
        seconds, after, busy = time.monotonic() - begun, cpu_seconds(used), psutil.cpu_percent() / 100
        peaks = {name: peak_mb(process) for name, process in used.items()}
        reconciliation = await reconcile(database, await generator.ledger())
        await _settle(database)
    if not reconciliation.passed:
        raise GatewayError(f"the books do not balance, so the figures mean nothing: {reconciliation}")
    a_million = 1e6 / plan.messages
    costs = {name: Cost((after[name] - before[name]) * a_million, peaks[name]) for name in before}
    return Run(plan.messages / seconds, costs, reconciliation, published, busy)


async def _publish(
    env: BenchEnvironment, database: DatabaseSettings, plan: LoadPlan, generator: LoadGenerator, stored_before: int
) -> PublishResult:
    """Publish all of it, never far ahead of what is stored."""
    left, sent, cpu_s, begun = plan.messages or 0, 0, 0.0, time.monotonic()
    # Homes take turns, so a few of them tell how far all are; counting all would cost as much as what is measured.
    some = plan.some_vens(_SOME_VENS)
    async with connected(database, "bench") as pool:

        async def estimate() -> int:
            return int(await pool.fetchval(STORED_OF, some) * plan.vens / len(some)) - stored_before

        while left:
            stretch = await generator.publish(min(left, _AT_ONCE))
            left, sent, cpu_s = left - min(left, _AT_ONCE), sent + stretch.messages, cpu_s + stretch.cpu_s
            await _reach(env, estimate, sent - _AHEAD)
    return PublishResult(sent, time.monotonic() - begun, cpu_s)


async def _settle(database: DatabaseSettings) -> None:
    """Do what PostgreSQL would else do of itself during the next run, with the rows that this one left."""
    async with connected(database, "bench") as pool:
        await pool.execute("VACUUM (ANALYZE) telemetry_readings, telemetry_loads")
        await pool.execute("CHECKPOINT")


async def stored(env: BenchEnvironment, database: DatabaseSettings, prefix: str, messages: int) -> None:
    """Wait until so many samples of these homes are committed."""
    async with connected(database, "bench") as pool:
        await _reach(env, lambda: pool.fetchval(STORED, prefix + "-", prefix + "."), messages)


async def _reach(env: BenchEnvironment, count: Callable[[], Awaitable[int]], messages: int) -> None:
    """Wait until the count is that high; counting takes a part in twenty of the time at most."""
    most, since = -1, time.monotonic()
    while True:
        asked = time.monotonic()
        number = await count()
        if number >= messages:
            return
        now = time.monotonic()
        if number > most:
            most, since = number, now
        elif now - since > _PATIENCE_SECONDS:
            raise GatewayError(f"{number} of {messages} are stored, and no more come; see {env.system.stack.logs}")
        await asyncio.sleep(max(_LOOK_SECONDS, 20 * (now - asked)))
