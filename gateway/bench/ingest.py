"""`gateway bench ingest`: the cost of a message from MQTT to the committed row, with everything running.

With `baseline`, each run alternates with a run of the baseline: the same load, servers and tables, while the gateway's
processes are stopped.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

from gateway.bench import baseline
from gateway.bench.environment import BenchEnvironment, environment
from gateway.bench.ingest_metrics import IngestMetrics, print_metrics
from gateway.bench.load_generator import LoadPlan
from gateway.bench.processes import processes, servers
from gateway.bench.run import run
from gateway.local.database import connected
from gateway.stack.polling import gather_all
from migrations.run import migrate
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings

BASELINE_DATABASE = "gateway_baseline"
_BYTES_A_MESSAGE = """
SELECT sum(pg_total_relation_size(part.relid)) / (SELECT count(*) FROM telemetry_readings)
FROM unnest(ARRAY['telemetry_readings', 'telemetry_loads']::regclass[]) AS parent,
    LATERAL pg_partition_tree(parent) AS part WHERE part.isleaf
"""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Messages and homes of each run, number of runs, whether to run the baseline too, and the output format."""

    messages: int
    vens: int
    runs: int
    baseline: bool
    as_json: bool


async def bench_ingest(options: IngestOptions, stop: asyncio.Event) -> None:
    """Start everything, publish at full speed, wait until all is stored, and print the cost.

    Raises:
        GatewayError: reconciliation failed, so there is no result.
    """
    async with environment(stop) as env:
        if env is None:
            return
        metrics = await measure(env, options)
    print_metrics(metrics, as_json=options.as_json)


async def measure(env: BenchEnvironment, options: IngestOptions) -> IngestMetrics:
    """Run the gateway, and the baseline if requested, in turn; each run has its own VENs."""
    system, numbers = env.system, itertools.count(1)
    gateway, compared = [], []

    def plan(topic: str) -> LoadPlan:
        return LoadPlan(options.messages, options.vens, f"bench{next(numbers)}", topic)

    for number in range(1, options.runs + 1):
        if options.baseline:
            await asyncio.gather(*(worker.stop() for worker in system.workers.values()))
            async with _baseline(env) as (pid, database):
                # Kafka is idle here, so it is not counted.
                used = {name: one for name, one in servers(system.stack).items() if name != "kafka"}
                used["baseline"] = psutil.Process(pid)
                compared.append(await run(env, plan(baseline.TOPIC), database, used))
            env.progress(f"baseline {number}: {compared[-1].summary}")
            await gather_all(worker.start() for worker in system.workers.values())
            await system.all_ready()
        topic = system.topics["MQTT_TOPIC_METERING"]
        gateway.append(await run(env, plan(topic), system.database, processes(system)))
        env.progress(f"gateway {number}: {gateway[-1].summary}")
    return IngestMetrics(options.messages, options.vens, tuple(gateway), tuple(compared), await _bytes_a_message(env))


@asynccontextmanager
async def _baseline(env: BenchEnvironment) -> AsyncIterator[tuple[int, DatabaseSettings]]:
    """Run the baseline on a separate database with the same tables; yields its process id."""
    system = env.system
    async with connected(system.database, "bench") as pool:
        if not await pool.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", BASELINE_DATABASE):
            await pool.execute(f"CREATE DATABASE {BASELINE_DATABASE}")
    database = system.database.model_copy(update={"db_name": BASELINE_DATABASE})
    await migrate(database)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.bench.baseline", system.stack.mqtt_host, str(system.stack.mqtt_port)),
        env={**os.environ, **system.stack.environment(), "DB_NAME": BASELINE_DATABASE},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise GatewayError("the baseline did not start; its message is above")
        yield process.pid, database
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _bytes_a_message(env: BenchEnvironment) -> float:
    """Return the size of the tables with indexes, divided by the number of samples."""
    async with connected(env.system.database, "bench") as pool:
        return float(await pool.fetchval(_BYTES_A_MESSAGE))
