"""Processes of the gateway are killed and stopped at random moments."""

import signal
from functools import partial

import pytest

from gateway.stack.polling import wait_until
from tests.faults.fault_run import RATE, WAIT, FaultRun, FaultRunner
from tests.faults.systems import on

PROCESSES = {"bridge": "bridge", "validate": "streams-validate", "sink": "streams-sink", "live": "streams-live"}
# The worker has work in hand that it cannot finish, and dies with it: were it acknowledged already, it would be lost.
WITHOUT = {"bridge without Kafka": ("bridge", "kafka"), "sink without PostgreSQL": ("streams-sink", "postgres")}

pytestmark = [on("plain"), pytest.mark.timeout(1200)]


async def kill(name: str, run: FaultRun) -> None:
    worker = run.system.workers[name]
    # Half of them in the midst of their work, the others as soon as they live.
    working = run.rng.random() < 0.5
    assert await wait_until(worker.ready if working else worker.alive, WAIT), f"{name} does not come up again"
    await run.random_moment()
    await worker.process.kill()


async def terminate(name: str, run: FaultRun) -> None:
    worker = run.system.workers[name]
    await run.ready(name)
    await run.random_moment()
    worker.process.signal(signal.SIGTERM)
    assert await worker.process.wait() == 0, f"{name} did not end in order"


async def kill_without(name: str, server: str, run: FaultRun) -> None:
    await run.ready(name)
    missing = getattr(run.system.stack, server)
    await missing.stop()
    # Longer than the interval between two commits.
    await run.accepted(2 * RATE)
    await run.system.workers[name].process.kill()
    await missing.start()


async def test_killed_processes_lose_nothing(fault_runner: FaultRunner) -> None:
    await fault_runner.of(
        "kill -9", {name: partial(kill, worker) for name, worker in PROCESSES.items()}, times=20, short=2
    )


async def test_terminated_processes_lose_nothing(fault_runner: FaultRunner) -> None:
    await fault_runner.of("SIGTERM", {name: partial(terminate, worker) for name, worker in PROCESSES.items()}, times=3)


async def test_a_kill_during_a_server_outage_loses_nothing(fault_runner: FaultRunner) -> None:
    await fault_runner.of("kill -9", {name: partial(kill_without, *which) for name, which in WITHOUT.items()}, times=3)
