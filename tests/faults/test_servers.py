"""Servers are restarted and killed, and run out of disk, under load."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from gateway.stack.polling import wait_until
from schemas.settings.blocks import DatabaseSettings
from tests.faults.disk import filled
from tests.faults.fault_run import RATE, WAIT, FaultRun, FaultRunner, direct_database
from tests.faults.systems import on
from tests.support.servers import connection

pytestmark = pytest.mark.timeout(900)


async def restart(server: str, run: FaultRun) -> None:
    await run.random_moment()
    await getattr(run.system.stack, server).restart()


async def kill(server: str, run: FaultRun) -> None:
    await run.random_moment()
    chosen = getattr(run.system.stack, server)
    await chosen.kill()
    await chosen.start()


@on("plain")
async def test_server_restarts_lose_nothing(fault_runner: FaultRunner) -> None:
    faults = {"Kafka": "kafka", "PostgreSQL": "postgres", "mosquitto": "mqtt"}
    await fault_runner.of("restart", {name: partial(restart, server) for name, server in faults.items()}, times=4)


@on("plain")
async def test_killed_servers_lose_nothing(fault_runner: FaultRunner) -> None:
    # Not mosquitto, which confirms a message before it has saved it.
    faults = {"Kafka": "kafka", "PostgreSQL": "postgres"}
    await fault_runner.of("kill -9", {name: partial(kill, server) for name, server in faults.items()}, times=4)


@on("artemis")
async def test_a_killed_mqtt_broker_loses_nothing(fault_runner: FaultRunner) -> None:
    await fault_runner.of("kill -9", {"MQTT broker (Artemis)": partial(kill, "mqtt")}, times=5, short=2)


@on("artemis")
async def test_a_full_database_disk_loses_nothing(fault_runner: FaultRunner) -> None:
    stack = fault_runner.system.stack
    disk = stack.data / "postgres"
    if not disk.is_mount():
        pytest.skip("a small disk for the database needs root and tmpfs")

    async def fill(run: FaultRun) -> None:
        await run.ready()
        await run.random_moment()
        wait_until_commanded = complaints(stack.logs)
        with filled(disk):
            assert await wait_until(lambda: complaints(stack.logs) > wait_until_commanded, WAIT), (
                "the disk does not become full"
            )
            if run.rng.random() < 0.5:
                await end_of_wal(direct_database(fault_runner.system))
            await run.accepted(RATE)
        # It may have given up; the test is its supervisor.
        if not await wait_until(partial(answers, direct_database(fault_runner.system)), 30):
            await stack.postgres.restart()

    await fault_runner.of("full disk under", {"PostgreSQL": fill}, times=4)


def complaints(logs: Path) -> int:
    return (logs / "postgres.log").read_text(errors="replace").count("No space left on device")


async def answers(settings: DatabaseSettings) -> bool:
    try:
        async with connection(settings) as opened:
            return bool(await opened.fetchval("SELECT true"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def end_of_wal(settings: DatabaseSettings) -> None:
    """Let the server want a new file for its log, without which it cannot go on: it panics."""
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with connection(settings) as opened:
            await opened.execute("CREATE TABLE panic (number int); DROP TABLE panic; SELECT pg_switch_wal()")
