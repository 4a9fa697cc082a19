"""One run: a load at full speed, from the first publish to the last row, and the CPU and memory of each process."""

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
"""About how many messages may be published and not yet stored.

The generator is faster than the gateway: every process stays busy, and the backlog does not fill the broker's memory.
"""

_CHUNK = 5_000
_POLL_SECONDS = 0.05
_SAMPLED_VENS = 32

STORED = "SELECT count(*) FROM telemetry_readings WHERE ven_id > $1 AND ven_id < $2"
STORED_OF = "SELECT count(*) FROM telemetry_readings WHERE ven_id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a process with its children: CPU seconds per million messages, and peak resident memory."""

    cpu_s_per_million: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Run:
    """Messages per second from the first publish to the last row, and the cost of each process.

    `busy` is the share of all cores that was in use, by any program.
    """

    messages_per_s: float
    processes: Mapping[str, Cost]
    reconciliation: Reconciliation
    published: PublishResult
    busy: float

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of all processes except the generator."""
        return sum(cost.cpu_s_per_million for cost in self.processes.values())

    @property
    def summary(self) -> str:
        """One line of text."""
        return f"{self.messages_per_s:.0f} messages/s, {self.cpu_s_per_million:.0f} CPU seconds per million"


async def run(
    env: BenchEnvironment, plan: LoadPlan, database: DatabaseSettings, used: Mapping[str, psutil.Process]
) -> Run:
    """Publish a warm-up of 10%, then the messages of the plan, and measure until the last row is in `database`.

    Raises:
        GatewayError: reconciliation failed.
    """
    if plan.messages is None:
        raise ValueError("a run needs a number of messages")
    warm_up = max(1, round(plan.messages * _WARM_UP_SHARE))
    total = warm_up + plan.messages
    env.progress(f"generating {total} messages …")
    async with load_generator(env, replace(plan, messages=total)) as generator:
        await generator.publish(warm_up)
        await stored(env, database, plan.prefix, warm_up)
        before, begun = cpu_seconds(used), time.monotonic()
        psutil.cpu_percent()
        published = await _publish(env, database, plan, generator, warm_up)
        await stored(env, database, plan.prefix, total)
        seconds, after, busy = time.monotonic() - begun, cpu_seconds(used), psutil.cpu_percent() / 100
        peaks = {name: peak_mb(process) for name, process in used.items()}
        reconciliation = await reconcile(database, await generator.ledger())
        await _settle(database)
    if not reconciliation.passed:
        raise GatewayError(f"reconciliation failed, so there is no result: {reconciliation}")
    per_million = 1e6 / plan.messages
    costs = {name: Cost((after[name] - before[name]) * per_million, peaks[name]) for name in before}
    return Run(plan.messages / seconds, costs, reconciliation, published, busy)


async def _publish(
    env: BenchEnvironment, database: DatabaseSettings, plan: LoadPlan, generator: LoadGenerator, stored_before: int
) -> PublishResult:
    """Publish all messages, at most `_AHEAD` more than are stored."""
    left, sent, cpu_s, begun = plan.messages or 0, 0, 0.0, time.monotonic()
    # Homes publish in turn, so a few of them show the progress of all. Counting all rows would distort the result.
    sample = plan.some_vens(_SAMPLED_VENS)
    async with connected(database, "bench") as pool:

        async def estimate() -> int:
            return int(await pool.fetchval(STORED_OF, sample) * plan.vens / len(sample)) - stored_before

        while left:
            chunk = await generator.publish(min(left, _CHUNK))
            left, sent, cpu_s = left - min(left, _CHUNK), sent + chunk.messages, cpu_s + chunk.cpu_s
            await _reach(env, estimate, sent - _AHEAD)
    return PublishResult(sent, time.monotonic() - begun, cpu_s)


async def _settle(database: DatabaseSettings) -> None:
    """Vacuum now, or autovacuum would do it during the next run."""
    async with connected(database, "bench") as pool:
        await pool.execute("VACUUM (ANALYZE) telemetry_readings, telemetry_loads")
        await pool.execute("CHECKPOINT")


async def stored(env: BenchEnvironment, database: DatabaseSettings, prefix: str, messages: int) -> None:
    """Wait until `messages` samples of the homes with this prefix are committed."""
    async with connected(database, "bench") as pool:
        await _reach(env, lambda: pool.fetchval(STORED, prefix + "-", prefix + "."), messages)


async def _reach(env: BenchEnvironment, count: Callable[[], Awaitable[int]], messages: int) -> None:
    """Wait until the count reaches `messages`; counting takes at most a twentieth of the time."""
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
            raise GatewayError(
                f"only {number} of {messages} samples are stored, and no more arrive; see {env.system.stack.logs}"
            )
        await asyncio.sleep(max(_POLL_SECONDS, 20 * (now - asked)))
