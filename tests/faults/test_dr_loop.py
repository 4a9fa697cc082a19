"""The DR loop while its processes are killed: each VEN gets one command and one restore, and the metrics are right."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import cast

import pytest

from gateway.local.system import System
from gateway.local.worker import Worker
from gateway.stack.polling import wait_until
from tests.faults.conftest import SEED
from tests.faults.dr_fault_run import VENS, DrFaultRun, dr_fault_run
from tests.faults.fault_run import WAIT, direct_database
from tests.faults.systems import BehindProxies, on
from tests.support.command_durations import miscounted
from tests.support.servers import connection

SINKS = ("streams-sink", "streams-sink-2")
VICTIMS = (*SINKS, "bridge", "api")
# A worker that was killed is back after some seconds of imports, on a machine that does other things too.
BACK_SECONDS = 60
STARTS_SECONDS = 10  # with another worker there
# What is killed so long before the end is back for it, if anything is.
CLEAR_SECONDS = 6

pytestmark = [on("proxied"), pytest.mark.timeout(600)]


@pytest.fixture
def full(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--faults-full"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    print(f"FAULT_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    return random.Random(f"{SEED} {request.node.name}")


@asynccontextmanager
async def second_sink(system: System) -> AsyncIterator[None]:
    worker = system.add_worker("sink", 2)
    await worker.start()
    try:
        assert await wait_until(worker.ready, WAIT)
        yield
    finally:
        await worker.stop()
        del system.workers[worker.name]


async def kill(system: System, name: str) -> None:
    """Kill it as soon as it lives: the one before may still be on its way up."""
    worker = system.workers[name]
    assert await wait_until(lambda: worker.process.running, WAIT)
    await worker.process.kill()


async def ready(system: System, *names: str) -> None:
    for name in names:
        assert await wait_until(system.workers[name].ready, WAIT), system.workers[name].process.see_log()


async def cut_mqtt(system: System) -> None:
    proxy = cast(BehindProxies, system).proxies["mqtt"]
    await proxy.cut()
    await proxy.listen()


@asynccontextmanager
async def down(worker: Worker) -> AsyncIterator[None]:
    """Have a worker killed, and not started again, inside."""
    await worker.process.kill()
    await worker.stop()
    try:
        yield
    finally:
        await worker.start()


async def test_kills_during_an_event_send_each_command_once(system: System, rng: random.Random, full: bool) -> None:  # noqa: FBT001
    """Kill at the start, while commands are sent, at the end and after the restores; more kills at random times."""
    others = 6 if full else 1
    lasts = 20.0 + 7.0 * others
    async with second_sink(system), dr_fault_run(system, f"dr-kills-{SEED}") as run:
        loop = asyncio.get_running_loop()
        created = await run.create(lasts, begins=1.0)
        event_id, ends_at = created["id"], datetime.fromisoformat(created["endTime"]).timestamp()
        async with asyncio.TaskGroup() as tasks:
            # Of two sinks either may be the one that decides.
            starting, ending = rng.sample(SINKS, 2)
            tasks.create_task(_kill_after(system, starting, rng.uniform(0.8, 1.6)))
            tasks.create_task(_kill_at_command(run, event_id, "event", rng.randrange(1, VENS)))
            await run.wait_until_commanded(event_id, STARTS_SECONDS + BACK_SECONDS)
            await ready(system, *VICTIMS)
            victims = [rng.choice(VICTIMS) for _ in range(others)]
            cut_after = rng.randrange(others)
            for number, victim in enumerate(victims):
                await asyncio.sleep(rng.uniform(0, 3))
                if ends_at - time.time() < CLEAR_SECONDS:
                    break  # on a slow machine; what would be in mid-restoring is left in doubt, see below
                await kill(system, victim)
                if number == cut_after:
                    await cut_mqtt(system)
            wait = ends_at - time.time()
            tasks.create_task(_kill_after(system, ending, max(0.0, wait + rng.uniform(-0.2, 0.8))))
            # Not before the last is out: homes end with the event, and what was left in doubt then needs no restore. A
            # kill in mid-restoring is for an event that is ended before its time.
            tasks.create_task(_kill_at_command(run, event_id, "restore", VENS))
            begun = loop.time()
            await run.wait_until_restored(event_id, max(0.0, wait) + 2 * BACK_SECONDS)
            assert loop.time() - begun < max(0.0, wait) + 2 * BACK_SECONDS
        await ready(system, *VICTIMS)
        event = await run.wait_for_settled_metrics(event_id)
        run.assert_sent_once(event_id)
        started = datetime.fromisoformat(event["startedAt"]) - datetime.fromisoformat(event["startTime"])
        assert 0 <= started.total_seconds() < STARTS_SECONDS
        assert not event["missed"]


async def _kill_after(system: System, name: str, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await kill(system, name)


async def _kill_at_command(run: DrFaultRun, event_id: str, op: str, number: int) -> None:
    """Kill the bridge in the midst of its sending."""
    assert await run.observer.wait_for_count(event_id, op, number, WAIT + BACK_SECONDS)
    await kill(run.system, "bridge")


async def test_an_event_that_passes_without_a_sink_is_missed(system: System) -> None:
    async with dr_fault_run(system, f"dr-missed-{SEED}", vens=20) as run:
        async with down(system.workers["streams-sink"]):
            event_id = (await run.create(3.0))["id"]

            async def passed() -> bool:
                return bool((await run.detail(event_id))["status"] == "completed")

            assert await wait_until(passed, WAIT, every=0.2)

        async def shown() -> bool:
            return bool((await run.detail(event_id))["missed"])

        assert await wait_until(shown, WAIT, every=0.2)
        event = await run.detail(event_id)
        assert event["startedAt"] is None
        assert (event["actualReductionKw"], event["deliveredKwh"]) == (0.0, 0.0)
        # Whatever may have been on its way goes out before a later event.
        next_id = (await run.create(60.0))["id"]
        await run.wait_until_commanded(next_id)
        assert not run.observer.counts(event_id)
        await run.delete(f"/api/events/{next_id}")
        await run.wait_until_restored(next_id)


async def test_an_event_due_without_a_sink_starts_late_ends_on_time(system: System) -> None:
    async with dr_fault_run(system, f"dr-late-{SEED}", vens=40) as run:
        lasts, late = 40.0, 6.0
        async with down(system.workers["streams-sink"]):
            created = await run.create(lasts)
            await asyncio.sleep(late)
        event_id, ends_at = created["id"], datetime.fromisoformat(created["endTime"]).timestamp()
        await run.wait_until_commanded(event_id)
        for seen in run.observer.commands(event_id, "event"):
            assert 0 < seen.payload["duration_sec"] < lasts - late
        await run.wait_until_restored(event_id, lasts + BACK_SECONDS)
        assert min(seen.at for seen in run.observer.commands(event_id, "restore")) >= ends_at - 0.1
        await run.wait_for_settled_metrics(event_id)
        run.assert_sent_once(event_id)
        async with connection(direct_database(system)) as rows:
            assert await miscounted(rows, run.observer.commands(event_id, "event"), ends_at) == []


Ending = Callable[[DrFaultRun, str], Awaitable[None]]


async def stop(run: DrFaultRun, event_id: str) -> None:
    # The API may have accepted it and been killed before its response.
    assert (await run.post(f"/api/events/{event_id}/stop")).status_code in {202, 409}


async def delete(run: DrFaultRun, event_id: str) -> None:
    assert (await run.delete(f"/api/events/{event_id}")).status_code in {204, 404}


@pytest.mark.parametrize("end", [stop, delete])
async def test_kills_while_an_event_is_ended_restore_each_ven_once(
    system: System,
    rng: random.Random,
    full: bool,  # noqa: FBT001
    end: Ending,
) -> None:
    if not full:
        pytest.skip("kills between creation and end are in the short form; this one in the long (make faults)")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(second_sink(system))
        run = await stack.enter_async_context(dr_fault_run(system, f"dr-{end.__name__}-{SEED}"))
        event_id = (await run.create(300.0))["id"]
        await run.wait_until_commanded(event_id)
        assert await wait_until(lambda: bool(run.fleet.dr.power_cuts), WAIT), "nobody forgets"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_kill_after(system, rng.choice(SINKS), rng.uniform(0, 0.5)))
            tasks.create_task(_kill_after(system, "api", rng.uniform(0, 0.2)))
            tasks.create_task(_kill_at_command(run, event_id, "restore", rng.randrange(1, VENS)))
            await end(run, event_id)
            await run.wait_until_restored(event_id, 2 * BACK_SECONDS)
        await ready(system, *VICTIMS)
        if end is stop:
            event = await run.wait_for_settled_metrics(event_id)
            assert event["endedAt"] is not None
        else:
            assert (await run.get(f"/api/events/{event_id}")).status_code == 404
        run.assert_sent_once(event_id)
        ven_id = run.observer.commands(event_id, "event")[0].ven_id
        commands = (await run.get(f"/api/vens/{ven_id}/commands")).json()
        assert [(each["op"], each["eventId"]) for each in commands] == [("restore", event_id), ("event", event_id)]
