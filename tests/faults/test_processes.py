"""Processes of ours are killed and told to end at random moments."""

import signal
from functools import partial

import pytest

from gateway.stack.polling import until
from tests.faults.ordeal import RATE, WAIT, Ordeal, Trials
from tests.faults.systems import on

PROCESSES = {"bridge": "bridge", "validate": "streams-validate", "sink": "streams-sink", "live": "streams-live"}
# The worker has work in hand that it cannot finish, and dies with it: were it acknowledged already, it would be lost.
WITHOUT = {"bridge without Kafka": ("bridge", "kafka"), "sink without PostgreSQL": ("streams-sink", "postgres")}

pytestmark = [on("plain"), pytest.mark.timeout(1200)]


async def kill(name: str, ordeal: Ordeal) -> None:
    worker = ordeal.system.workers[name]
    # Half of them in the midst of their work, the others as soon as they live.
    working = ordeal.choose.random() < 0.5
    assert await until(worker.ready if working else worker.alive, WAIT), f"{name} does not come up again"
    await ordeal.moment()
    await worker.process.kill()


async def terminate(name: str, ordeal: Ordeal) -> None:
    worker = ordeal.system.workers[name]
    await ordeal.ready(name)
    await ordeal.moment()
    worker.process.signal(signal.SIGTERM)
    assert await worker.process.wait() == 0, f"{name} did not end in order"


async def kill_without(name: str, server: str, ordeal: Ordeal) -> None:
    await ordeal.ready(name)
    missing = getattr(ordeal.system.stack, server)
    await missing.stop()
    # Longer than the interval between two commits.
    await ordeal.accepted(2 * RATE)
    await ordeal.system.workers[name].process.kill()
    await missing.start()


async def test_kill_9(trials: Trials) -> None:
    await trials.of("kill -9", {name: partial(kill, worker) for name, worker in PROCESSES.items()}, times=20, short=2)


async def test_sigterm(trials: Trials) -> None:
    await trials.of("SIGTERM", {name: partial(terminate, worker) for name, worker in PROCESSES.items()}, times=3)


async def test_kill_9_without_its_server(trials: Trials) -> None:
    await trials.of("kill -9", {name: partial(kill_without, *which) for name, which in WITHOUT.items()}, times=3)
