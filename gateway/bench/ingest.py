"""`gateway bench ingest`: what a message costs, from MQTT to the committed row, with everything running.

With `floor` each run has a partner: the same load, servers and tables without the gateway, one after the other, so that
both had the same machine. The gateway's processes are stopped meanwhile.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import psutil

from gateway.bench import floor
from gateway.bench.ingest_figures import Cost, Figures, Run, print_figures
from gateway.bench.load import LoadOptions, load
from gateway.bench.processes import cpu_seconds, peak_mb, processes, servers
from gateway.bench.stage import Stage, stage
from gateway.ledger import compare
from gateway.stack.polling import all_done
from migrations.run import migrate
from runtime.database import connect_options
from schemas.errors import GatewayError
from schemas.settings import DatabaseSettings

FLOOR_DATABASE = "floor"
_WARM_UP_SHARE = 0.1
_PATIENCE_SECONDS = 120

_NUMBER = "SELECT count(*) FROM telemetry_readings WHERE ven_id > $1 AND ven_id < $2"
_BYTES_A_MESSAGE = """
SELECT sum(pg_total_relation_size(part.relid)) / (SELECT count(*) FROM telemetry_readings)
FROM unnest(ARRAY['telemetry_readings', 'telemetry_loads']::regclass[]) AS parent,
    LATERAL pg_partition_tree(parent) AS part WHERE part.isleaf
"""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How much to publish, how often, whether the floor runs beside, and how to print."""

    messages: int
    vens: int
    runs: int
    floor: bool
    as_json: bool


async def bench_ingest(options: IngestOptions, stop: asyncio.Event) -> None:
    """Bring everything up, publish at full speed, wait until all is stored, and print what it took.

    Raises:
        GatewayError: the books do not balance, and then the figures mean nothing.
    """
    async with stage(stop) as up:
        if up is None:
            return
        figures = await measure(up, options)
    print_figures(figures, as_json=options.as_json)


async def measure(up: Stage, options: IngestOptions) -> Figures:
    """Let the runs follow one another; each has VENs of its own."""
    system, numbers = up.system, itertools.count(1)
    gateway, beside = [], []
    for number in range(1, options.runs + 1):
        if options.floor:
            await asyncio.gather(*(worker.stop() for worker in system.workers.values()))
            async with _floor(up) as (pid, database):
                # Without the log: it is there and has nothing to do.
                used = {name: one for name, one in servers(system.stack).items() if name != "kafka"}
                used["floor"] = psutil.Process(pid)
                beside.append(await _run(up, options, next(numbers), floor.TOPIC, database, used))
            up.tell(f"floor {number}: {beside[-1].summary}")
            await all_done(worker.start() for worker in system.workers.values())
            await system.all_ready()
        topic = system.topics["MQTT_TOPIC_METERING"]
        used = processes(system)
        gateway.append(await _run(up, options, next(numbers), topic, system.database, used))
        up.tell(f"gateway {number}: {gateway[-1].summary}")
    return Figures(options.messages, options.vens, tuple(gateway), tuple(beside), await _bytes_a_message(up))


async def _run(
    up: Stage,
    options: IngestOptions,
    number: int,
    topic: str,
    database: DatabaseSettings,
    used: Mapping[str, psutil.Process],
) -> Run:
    """Publish a tenth to warm up, then the rest, and count what that costs until its last row is there."""
    prefix = f"bench{number}"
    warm_up = max(1, round(options.messages * _WARM_UP_SHARE))
    all_of_it = warm_up + options.messages
    stack = up.system.stack
    made = LoadOptions(
        stack.mqtt_host,
        stack.mqtt_port,
        all_of_it,
        options.vens,
        prefix,
        topic,
        str(up.folder / f"{prefix}.jsonl"),
    )
    up.tell(f"making {all_of_it} messages …")
    async with load(made) as generator:
        await generator.publish(warm_up)
        await _stored(up, database, prefix, warm_up)
        before, begun = cpu_seconds(used), time.monotonic()
        published = await generator.publish(options.messages)
        await _stored(up, database, prefix, all_of_it)
        seconds, after = time.monotonic() - begun, cpu_seconds(used)
        peaks = {name: peak_mb(process) for name, process in used.items()}
        balance = await compare(database, await generator.ledger())
    if not balance.balanced:
        raise GatewayError(f"the books do not balance, so the figures mean nothing: {balance}")
    a_million = 1e6 / options.messages
    costs = {name: Cost((after[name] - before[name]) * a_million, peaks[name]) for name in before}
    return Run(options.messages / seconds, costs, balance, published)


async def _stored(up: Stage, database: DatabaseSettings, prefix: str, messages: int) -> None:
    """Wait until so many samples of these homes are committed; counting takes a part in twenty of the time at most."""
    connection = await asyncpg.connect(**connect_options(database, "bench"))
    try:
        most, since = -1, time.monotonic()
        while True:
            asked = time.monotonic()
            stored = await connection.fetchval(_NUMBER, prefix + "-", prefix + ".")
            if stored >= messages:
                return
            now = time.monotonic()
            if stored > most:
                most, since = stored, now
            elif now - since > _PATIENCE_SECONDS:
                logs = up.system.stack.logs
                raise GatewayError(f"{stored} of {messages} are stored, and no more come; see {logs}")
            await asyncio.sleep(max(0.1, 20 * (now - asked)))
    finally:
        await connection.close()


@asynccontextmanager
async def _floor(up: Stage) -> AsyncIterator[tuple[int, DatabaseSettings]]:
    """Have the floor take messages into a database of its own that the same migrations made; yields its process id."""
    system = up.system
    connection = await asyncpg.connect(**connect_options(system.database, "bench"))
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", FLOOR_DATABASE):
            await connection.execute(f"CREATE DATABASE {FLOOR_DATABASE}")
    finally:
        await connection.close()
    database = system.database.model_copy(update={"db_name": FLOOR_DATABASE})
    await migrate(database)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.bench.floor", system.stack.mqtt_host, str(system.stack.mqtt_port)),
        env={**os.environ, **system.stack.environment(), "DB_NAME": FLOOR_DATABASE},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise GatewayError("the floor did not come up; its message is above")
        yield process.pid, database
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _bytes_a_message(up: Stage) -> float:
    """What the rows of a sample take, indexes included: of the whole tables, divided by the samples in them."""
    connection = await asyncpg.connect(**connect_options(up.system.database, "bench"))
    try:
        return float(await connection.fetchval(_BYTES_A_MESSAGE))
    finally:
        await connection.close()
