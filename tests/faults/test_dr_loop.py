"""The DR loop while its processes are killed: each VEN is told once and restored once, and the figures are right."""

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
from gateway.stack.polling import until
from tests.faults.conftest import SEED
from tests.faults.dr_trial import VENS, DrTrial, dr_trial
from tests.faults.ordeal import WAIT, direct
from tests.faults.systems import BehindProxies, on
from tests.support.countdown import miscounted
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
def choose(request: pytest.FixtureRequest) -> random.Random:
    print(f"FAULT_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    return random.Random(f"{SEED} {request.node.name}")


@asynccontextmanager
async def second_sink(system: System) -> AsyncIterator[None]:
    worker = system.one_more("sink", 2)
    await worker.start()
    try:
        assert await until(worker.ready, WAIT)
        yield
    finally:
        await worker.stop()
        del system.workers[worker.name]


async def kill(system: System, name: str) -> None:
    """Kill it as soon as it lives: the one before may still be on its way up."""
    worker = system.workers[name]
    assert await until(lambda: worker.process.running, WAIT)
    await worker.process.kill()


async def ready(system: System, *names: str) -> None:
    for name in names:
        assert await until(system.workers[name].ready, WAIT), system.workers[name].process.see_log()


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


async def test_kills_between_creation_and_end(system: System, choose: random.Random, full: bool) -> None:  # noqa: FBT001
    """When it starts, in mid-telling, when it ends and after restoring; the other moments are left to chance."""
    others = 6 if full else 1
    lasts = 20.0 + 7.0 * others
    async with second_sink(system), dr_trial(system, f"dr-kills-{SEED}") as trial:
        loop = asyncio.get_running_loop()
        created = await trial.create(lasts, begins=1.0)
        event_id, ends_at = created["id"], datetime.fromisoformat(created["endTime"]).timestamp()
        async with asyncio.TaskGroup() as tasks:
            # Of two sinks either may be the one that decides.
            starting, ending = choose.sample(SINKS, 2)
            tasks.create_task(_kill_after(system, starting, choose.uniform(0.8, 1.6)))
            tasks.create_task(_kill_at_command(trial, event_id, "event", choose.randrange(1, VENS)))
            await trial.told(event_id, STARTS_SECONDS + BACK_SECONDS)
            await ready(system, *VICTIMS)
            victims = [choose.choice(VICTIMS) for _ in range(others)]
            cut_after = choose.randrange(others)
            for number, victim in enumerate(victims):
                await asyncio.sleep(choose.uniform(0, 3))
                if ends_at - time.time() < CLEAR_SECONDS:
                    break  # on a slow machine; what would be in mid-restoring is left in doubt, see below
                await kill(system, victim)
                if number == cut_after:
                    await cut_mqtt(system)
            wait = ends_at - time.time()
            tasks.create_task(_kill_after(system, ending, max(0.0, wait + choose.uniform(-0.2, 0.8))))
            # Not before the last is out: homes end with the event, and what was left in doubt then needs no restore. A
            # kill in mid-restoring is for an event that is ended before its time.
            tasks.create_task(_kill_at_command(trial, event_id, "restore", VENS))
            begun = loop.time()
            await trial.restored(event_id, max(0.0, wait) + 2 * BACK_SECONDS)
            assert loop.time() - begun < max(0.0, wait) + 2 * BACK_SECONDS
        await ready(system, *VICTIMS)
        event = await trial.comes_to_what_the_fleet_says(event_id)
        trial.each_once(event_id)
        started = datetime.fromisoformat(event["startedAt"]) - datetime.fromisoformat(event["startTime"])
        assert 0 <= started.total_seconds() < STARTS_SECONDS
        assert not event["missed"]


async def _kill_after(system: System, name: str, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await kill(system, name)


async def _kill_at_command(trial: DrTrial, event_id: str, op: str, number: int) -> None:
    """Kill the bridge in the midst of its sending."""
    assert await trial.wire.reaches(event_id, op, number, WAIT + BACK_SECONDS)
    await kill(trial.system, "bridge")


async def test_an_event_that_passes_while_no_sink_is_there_is_missed(system: System) -> None:
    async with dr_trial(system, f"dr-missed-{SEED}", vens=20) as trial:
        async with down(system.workers["streams-sink"]):
            event_id = (await trial.create(3.0))["id"]

            async def passed() -> bool:
                return bool((await trial.detail(event_id))["status"] == "completed")

            assert await until(passed, WAIT, every=0.2)

        async def shown() -> bool:
            return bool((await trial.detail(event_id))["missed"])

        assert await until(shown, WAIT, every=0.2)
        event = await trial.detail(event_id)
        assert event["startedAt"] is None
        assert (event["actualReductionKw"], event["deliveredKwh"]) == (0.0, 0.0)
        # Whatever may have been on its way goes out before a later event.
        next_id = (await trial.create(60.0))["id"]
        await trial.told(next_id)
        assert not trial.wire.times(event_id)
        await trial.delete(f"/api/events/{next_id}")
        await trial.restored(next_id)


async def test_an_event_that_was_due_while_no_sink_was_there_starts_late_and_ends_in_time(system: System) -> None:
    async with dr_trial(system, f"dr-late-{SEED}", vens=40) as trial:
        lasts, late = 40.0, 6.0
        async with down(system.workers["streams-sink"]):
            created = await trial.create(lasts)
            await asyncio.sleep(late)
        event_id, ends_at = created["id"], datetime.fromisoformat(created["endTime"]).timestamp()
        await trial.told(event_id)
        for seen in trial.wire.of(event_id, "event"):
            assert 0 < seen.payload["duration_sec"] < lasts - late
        await trial.restored(event_id, lasts + BACK_SECONDS)
        assert min(seen.at for seen in trial.wire.of(event_id, "restore")) >= ends_at - 0.1
        await trial.comes_to_what_the_fleet_says(event_id)
        trial.each_once(event_id)
        async with connection(direct(system)) as rows:
            assert await miscounted(rows, trial.wire.of(event_id, "event"), ends_at) == []


Ending = Callable[[DrTrial, str], Awaitable[None]]


async def stop(trial: DrTrial, event_id: str) -> None:
    # It may have been taken in by an API that was killed before it could say so.
    assert (await trial.post(f"/api/events/{event_id}/stop")).status_code in {202, 409}


async def delete(trial: DrTrial, event_id: str) -> None:
    assert (await trial.delete(f"/api/events/{event_id}")).status_code in {204, 404}


@pytest.mark.parametrize("end", [stop, delete])
async def test_an_active_event_is_ended_under_kills(
    system: System,
    choose: random.Random,
    full: bool,  # noqa: FBT001
    end: Ending,
) -> None:
    if not full:
        pytest.skip("kills between creation and end are in the short form; this one in the long (make faults)")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(second_sink(system))
        trial = await stack.enter_async_context(dr_trial(system, f"dr-{end.__name__}-{SEED}"))
        event_id = (await trial.create(300.0))["id"]
        await trial.told(event_id)
        assert await until(lambda: bool(trial.fleet.dr.power_cuts), WAIT), "nobody forgets"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_kill_after(system, choose.choice(SINKS), choose.uniform(0, 0.5)))
            tasks.create_task(_kill_after(system, "api", choose.uniform(0, 0.2)))
            tasks.create_task(_kill_at_command(trial, event_id, "restore", choose.randrange(1, VENS)))
            await end(trial, event_id)
            await trial.restored(event_id, 2 * BACK_SECONDS)
        await ready(system, *VICTIMS)
        if end is stop:
            event = await trial.comes_to_what_the_fleet_says(event_id)
            assert event["endedAt"] is not None
        else:
            assert (await trial.get(f"/api/events/{event_id}")).status_code == 404
        trial.each_once(event_id)
        ven_id = trial.wire.of(event_id, "event")[0].ven_id
        commands = (await trial.get(f"/api/vens/{ven_id}/commands")).json()
        assert [(each["op"], each["eventId"]) for each in commands] == [("restore", event_id), ("event", event_id)]
