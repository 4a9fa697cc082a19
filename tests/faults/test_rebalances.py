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
from gateway.stack.polling import wait_until
from streams.roles import ROLES, StreamRole
from tests.faults.fault_run import RATE, VENS, WAIT, FaultRun, FaultRunner
from tests.faults.systems import IMPATIENT, on

SESSION_SECONDS = float(IMPATIENT["STREAMS_SESSION_TIMEOUT"])

pytestmark = [on("proxied"), pytest.mark.timeout(900)]


@asynccontextmanager
async def second(fault_runner: FaultRunner, role: StreamRole, *, named: bool) -> AsyncIterator[Worker]:
    """Have a second worker of a role inside."""
    worker = fault_runner.system.add_worker(role, 2, named=named)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
        del fault_runner.system.workers[worker.name]


async def stand_still(roles: Iterable[StreamRole], run: FaultRun) -> None:
    """Stop one of two workers until the other has its partitions, then let it go on with what it had in hand."""
    names = [(f"streams-{role}", f"streams-{role}-2") for role in roles]
    await run.ready(*chain.from_iterable(names))
    await run.random_moment()
    paused = [run.system.workers[run.rng.choice(pair)].process for pair in names]
    for worker_process in paused:
        worker_process.signal(signal.SIGSTOP)
    try:
        # Longer than its session; then the rows go on without it.
        await run.accepted(int(RATE * (SESSION_SECONDS + 1)))
        before = run.fleet.accepted
        await run.random_moment()
        assert await wait_until(lambda: run.storage.stored > before, WAIT), "nobody took over"
    finally:
        for worker_process in paused:
            worker_process.signal(signal.SIGCONT)


async def join_or_leave(role: StreamRole, run: FaultRun) -> None:
    worker = run.system.workers[f"streams-{role}-2"]
    await run.random_moment()
    if not worker.supervised:
        await worker.start()
        await run.ready(worker.name)
    elif run.rng.random() < 0.5:
        await worker.stop()
    else:
        await worker.process.kill()


async def test_suspended_workers_lose_nothing(fault_runner: FaultRunner) -> None:
    for roles in [(role,) for role in ROLES] if fault_runner.full else [ROLES]:
        async with AsyncExitStack() as stack:
            for role in roles:
                await stack.enter_async_context(second(fault_runner, role, named=True))
            fewest = await stack.enter_async_context(online_vens(fault_runner))
            await fault_runner.of("SIGSTOP and SIGCONT of", {", ".join(roles): partial(stand_still, roles)}, times=3)
        assert min(fewest) >= VENS, "the live totals dipped"


async def test_joining_and_leaving_workers_lose_nothing(fault_runner: FaultRunner) -> None:
    for role in ROLES if fault_runner.full else ROLES[1:2]:
        async with second(fault_runner, role, named=False):
            await fault_runner.of(
                "rebalance:", {f"{role} joins and leaves": partial(join_or_leave, role)}, times=6, short=2
            )


@asynccontextmanager
async def online_vens(fault_runner: FaultRunner) -> AsyncIterator[list[int]]:
    """Note how many VENs are online in the live totals, again and again, once the fleet is."""
    seen: list[int] = []

    async def follow() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            while True:
                answer = await client.get(f"{fault_runner.system.api}/api/stats/network")
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
