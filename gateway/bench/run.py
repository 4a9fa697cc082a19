"""One run: a load at full speed, from its first publish to its last row, with what every process used meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import psutil

from gateway.bench.environment import Stage
from gateway.bench.load_generator import Course, Load, Published, load
from gateway.bench.processes import cpu_seconds, peak_mb
from gateway.local.database import connected
from gateway.reconciliation.telemetry import Balance, compare
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
    balance: Balance
    published: Published
    busy: float

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of all processes, the generator left out."""
        return sum(cost.cpu_s_per_million for cost in self.processes.values())

    @property
    def summary(self) -> str:
        """A line for people."""
        return f"{self.messages_per_s:.0f} messages/s, {self.cpu_s_per_million:.0f} CPU seconds per million"


async def run(up: Stage, course: Course, database: DatabaseSettings, used: Mapping[str, psutil.Process]) -> Run:
    """Publish a tenth to warm up, then the rest, and count what that costs until its last row is in `database`.

    Raises:
        GatewayError: not all was stored, once and as it was.
    """
    if course.messages is None:
        raise ValueError("a run has an end")
    warm_up = max(1, round(course.messages * _WARM_UP_SHARE))
    all_of_it = warm_up + course.messages
    up.tell(f"making {all_of_it} messages …")
    async with load(up, replace(course, messages=all_of_it)) as generator:
        await generator.publish(warm_up)
        await stored(up, database, course.prefix, warm_up)
        before, begun = cpu_seconds(used), time.monotonic()
        psutil.cpu_percent()
        published = await _publish(up, database, course, generator, warm_up)
        await stored(up, database, course.prefix, all_of_it)
        seconds, after, busy = time.monotonic() - begun, cpu_seconds(used), psutil.cpu_percent() / 100
        peaks = {name: peak_mb(process) for name, process in used.items()}
        balance = await compare(database, await generator.ledger())
        await _settle(database)
    if not balance.balanced:
        raise GatewayError(f"the books do not balance, so the figures mean nothing: {balance}")
    a_million = 1e6 / course.messages
    costs = {name: Cost((after[name] - before[name]) * a_million, peaks[name]) for name in before}
    return Run(course.messages / seconds, costs, balance, published, busy)


async def _publish(
    up: Stage, database: DatabaseSettings, course: Course, generator: Load, stored_before: int
) -> Published:
    """Publish all of it, never far ahead of what is stored."""
    left, sent, cpu_s, begun = course.messages or 0, 0, 0.0, time.monotonic()
    # Homes take turns, so a few of them tell how far all are; counting all would cost as much as what is measured.
    some = course.some_vens(_SOME_VENS)
    async with connected(database, "bench") as pool:

        async def estimate() -> int:
            return int(await pool.fetchval(STORED_OF, some) * course.vens / len(some)) - stored_before

        while left:
            stretch = await generator.publish(min(left, _AT_ONCE))
            left, sent, cpu_s = left - min(left, _AT_ONCE), sent + stretch.messages, cpu_s + stretch.cpu_s
            await _reach(up, estimate, sent - _AHEAD)
    return Published(sent, time.monotonic() - begun, cpu_s)


async def _settle(database: DatabaseSettings) -> None:
    """Do what PostgreSQL would else do of itself during the next run, with the rows that this one left."""
    async with connected(database, "bench") as pool:
        await pool.execute("VACUUM (ANALYZE) telemetry_readings, telemetry_loads")
        await pool.execute("CHECKPOINT")


async def stored(up: Stage, database: DatabaseSettings, prefix: str, messages: int) -> None:
    """Wait until so many samples of these homes are committed."""
    async with connected(database, "bench") as pool:
        await _reach(up, lambda: pool.fetchval(STORED, prefix + "-", prefix + "."), messages)


async def _reach(up: Stage, count: Callable[[], Awaitable[int]], messages: int) -> None:
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
            raise GatewayError(f"{number} of {messages} are stored, and no more come; see {up.system.stack.logs}")
        await asyncio.sleep(max(_LOOK_SECONDS, 20 * (now - asked)))
