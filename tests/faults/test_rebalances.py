"""Workers of a role that stand still, join and leave: partitions move in the middle of batches."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import chain

import httpx
import pytest

from gateway.local.worker import Worker
from gateway.stack.polling import until
from streams.roles import ROLES, Role
from tests.faults.ordeal import RATE, VENS, WAIT, Ordeal, Trials
from tests.faults.systems import IMPATIENT, on

SESSION_SECONDS = float(IMPATIENT["STREAMS_SESSION_TIMEOUT"])

pytestmark = [on("proxied"), pytest.mark.timeout(900)]


@asynccontextmanager
async def second(trials: Trials, role: Role, *, named: bool) -> AsyncIterator[Worker]:
    """Have a second worker of a role inside."""
    worker = trials.system.one_more(role, 2, named=named)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
        del trials.system.workers[worker.name]


async def stand_still(roles: Iterable[Role], ordeal: Ordeal) -> None:
    """Stop one of two workers until the other has its partitions, then let it go on with what it had in hand."""
    names = [(f"streams-{role}", f"streams-{role}-2") for role in roles]
    await ordeal.ready(*chain.from_iterable(names))
    await ordeal.moment()
    zombies = [ordeal.system.workers[ordeal.choose.choice(pair)].process for pair in names]
    for zombie in zombies:
        zombie.signal(signal.SIGSTOP)
    try:
        # Longer than its session; then the rows go on without it.
        await ordeal.accepted(int(RATE * (SESSION_SECONDS + 1)))
        before = ordeal.fleet.accepted
        await ordeal.moment()
        assert await until(lambda: ordeal.watch.stored > before, WAIT), "nobody took over"
    finally:
        for zombie in zombies:
            zombie.signal(signal.SIGCONT)


async def join_or_leave(role: Role, ordeal: Ordeal) -> None:
    worker = ordeal.system.workers[f"streams-{role}-2"]
    await ordeal.moment()
    if not worker.supervised:
        await worker.start()
        await ordeal.ready(worker.name)
    elif ordeal.choose.random() < 0.5:
        await worker.stop()
    else:
        await worker.process.kill()


async def test_workers_stand_still_past_their_session(trials: Trials) -> None:
    for roles in [(role,) for role in ROLES] if trials.full else [ROLES]:
        async with AsyncExitStack() as stack:
            for role in roles:
                await stack.enter_async_context(second(trials, role, named=True))
            fewest = await stack.enter_async_context(online_vens(trials))
            await trials.of("SIGSTOP and SIGCONT of", {", ".join(roles): partial(stand_still, roles)}, times=3)
        assert min(fewest) >= VENS, "the live totals dipped"


async def test_workers_join_and_leave(trials: Trials) -> None:
    for role in ROLES if trials.full else ROLES[1:2]:
        async with second(trials, role, named=False):
            await trials.of("rebalance:", {f"{role} joins and leaves": partial(join_or_leave, role)}, times=6, short=2)


@asynccontextmanager
async def online_vens(trials: Trials) -> AsyncIterator[list[int]]:
    """Note how many VENs are online in the live totals, again and again, once the fleet is."""
    seen: list[int] = []

    async def follow() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            while True:
                answer = await client.get(f"{trials.system.api}/api/stats/network")
                online = answer.json()["onlineVens"] if answer.is_success else None
                if online is not None and (seen or online >= VENS):
                    seen.append(online)
                await asyncio.sleep(0.25)

    following = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        following.cancel()
        await asyncio.wait({following})
