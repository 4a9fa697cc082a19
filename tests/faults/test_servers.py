"""Servers are restarted and killed, and run out of disk, under load."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from gateway.stack.polling import until
from schemas.settings.blocks import DatabaseSettings
from tests.faults.disk import filled
from tests.faults.ordeal import RATE, WAIT, Ordeal, Trials, direct
from tests.faults.systems import on
from tests.support.servers import connection

pytestmark = pytest.mark.timeout(900)


async def restart(server: str, ordeal: Ordeal) -> None:
    await ordeal.moment()
    await getattr(ordeal.system.stack, server).restart()


async def kill(server: str, ordeal: Ordeal) -> None:
    await ordeal.moment()
    chosen = getattr(ordeal.system.stack, server)
    await chosen.kill()
    await chosen.start()


@on("plain")
async def test_servers_are_restarted(trials: Trials) -> None:
    faults = {"Kafka": "kafka", "PostgreSQL": "postgres", "mosquitto": "mqtt"}
    await trials.of("restart", {name: partial(restart, server) for name, server in faults.items()}, times=4)


@on("plain")
async def test_servers_are_killed(trials: Trials) -> None:
    # Not mosquitto, which confirms a message before it has saved it.
    faults = {"Kafka": "kafka", "PostgreSQL": "postgres"}
    await trials.of("kill -9", {name: partial(kill, server) for name, server in faults.items()}, times=4)


@on("artemis")
async def test_the_mqtt_broker_is_killed(trials: Trials) -> None:
    await trials.of("kill -9", {"MQTT broker (Artemis)": partial(kill, "mqtt")}, times=5, short=2)


@on("artemis")
async def test_the_disk_of_the_database_is_full(trials: Trials) -> None:
    stack = trials.system.stack
    disk = stack.data / "postgres"
    if not disk.is_mount():
        pytest.skip("a small disk for the database needs root and tmpfs")

    async def fill(ordeal: Ordeal) -> None:
        await ordeal.ready()
        await ordeal.moment()
        told = complaints(stack.logs)
        with filled(disk):
            assert await until(lambda: complaints(stack.logs) > told, WAIT), "the disk does not become full"
            if ordeal.choose.random() < 0.5:
                await end_of_wal(direct(trials.system))
            await ordeal.accepted(RATE)
        # It may have given up; the test is its supervisor.
        if not await until(partial(answers, direct(trials.system)), 30):
            await stack.postgres.restart()

    await trials.of("full disk under", {"PostgreSQL": fill}, times=4)


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
