"""A fault run: a fleet publishes, a fault is injected repeatedly, and the ledgers must reconcile."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from gateway.fleet import Fleet, FleetOptions, PublishLedger, publishing
from gateway.local.system import System
from gateway.local.worker import Worker
from gateway.reconciliation.telemetry import READINGS, SNAPSHOTS, Reconciliation, reconcile_when_stored
from gateway.stack.polling import wait_until
from runtime.database import connect_options
from schemas.settings.blocks import DatabaseSettings
from tests.faults.results import Result
from tests.faults.storage_monitor import StorageMonitor

RATE = 400  # messages/s, all kinds
VENS = 100
# Generous: other tests may run on the same machine, and how long it takes is in the table.
WAIT = 120
PATIENCE = 120

# The ledgers of a fleet, with the queries they are reconciled with.
LEDGERS = ((READINGS, "ledger"), (SNAPSHOTS, "snapshots"))

ONLINE = """
SELECT count(*) AS vens, COALESCE(sum(used_power_kw), 0) AS used_kw
FROM ven_status WHERE reading_received_at > now() - interval '60 s'
"""

_numbers = itertools.count(1)


class FaultRun:
    """What a fault may use: the system, the fleet, and a random generator."""

    def __init__(self, system: System, fleet: Fleet, rng: random.Random) -> None:
        self.system = system
        self.fleet = fleet
        self.storage = StorageMonitor(direct_database(system), fleet)
        self.rng = rng
        self.times = 0
        self.note = ""
        self.reconciliations: list[Reconciliation] = []  # of more than the fleet

    async def random_moment(self) -> None:
        """Wait for a random moment under load."""
        await self.accepted(self.rng.randrange(RATE // 8, RATE * 3 // 2))

    async def accepted(self, more: int) -> None:
        """Wait until the broker has accepted so many more messages."""
        enough = self.fleet.accepted + more
        assert await wait_until(lambda: self.fleet.accepted >= enough, WAIT), "the broker accepts nothing any more"

    async def ready(self, *names: str) -> None:
        """Wait until processes of ours can do their work; without names, all of them."""
        for worker in [self.system.workers[name] for name in names or self.system.workers]:
            assert await wait_until(worker.ready, WAIT), f"{worker.name} did not recover: {worker.process.see_log()}"


Fault = Callable[[FaultRun], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FaultRunner:
    """Runs faults against a system and collects the results; `full` selects the long form."""

    system: System
    results: list[Result]
    seed: int
    full: bool

    async def of(self, kind: str, faults: Mapping[str, Fault], *, times: int, short: int = 1) -> None:
        """Inject each fault `times` times with a ledger of its own; in the short form `short` times with a shared one.

        Raises:
            ExceptionGroup: what was found, after all faults had their turn.
        """
        if not self.full:
            deck = [fault for fault in faults.values() for _ in range(short)]
            random.Random(self.seed).shuffle(deck)
            async with self.run(f"{kind} {', '.join(faults)}") as run:
                for fault in deck:
                    await _inject(run, fault)
            return
        failures: list[Exception] = []
        for name, fault in faults.items():
            try:
                async with self.run(f"{kind} {name}") as run:
                    for _ in range(times):
                        await _inject(run, fault)
            except (Exception, AssertionError) as failure:  # noqa: BLE001 - raised below
                failures.append(failure)
        if failures:
            raise ExceptionGroup(f"{kind}: {len(failures)} of {len(faults)} faults did harm", failures)

    @asynccontextmanager
    async def run(self, fault: str, ledger: PublishLedger | None = None, **options: Any) -> AsyncIterator[FaultRun]:
        """Run a fleet inside the block; afterwards its ledgers must reconcile and every process be ready."""
        number = next(_numbers)
        fleet = make_fleet(self.system, **{"prefix": f"fault-{number}", "rate": RATE, "seed": self.seed, **options})
        if ledger is not None:
            fleet.ledger = ledger
        run = FaultRun(self.system, fleet, random.Random(f"{self.seed} {fault}"))
        watching = asyncio.create_task(run.storage.run())
        try:
            async with publishing(fleet):
                await run.accepted(RATE // 2)
                yield run
            reconciliations = [*await reconcile_fleet(self.system, fleet), *run.reconciliations]
        finally:
            watching.cancel()
            # A watch that ended before has seen no pause: that must not look like a good result.
            with suppress(asyncio.CancelledError):
                await watching
        result = _result(fault, run, reconciliations, run.storage.longest_pause)
        self.results.append(result)
        assert result.accepted > RATE // 2
        assert result.passed, reconciliations
        await assert_recovered(self.system)
        await assert_live_totals_match(self.system)


async def _inject(run: FaultRun, fault: Fault) -> None:
    await fault(run)
    run.times += 1
    await run.random_moment()


def make_fleet(system: System, **options: Any) -> Fleet:
    """Make a fleet that goes straight to the MQTT broker."""
    return Fleet(FleetOptions(host=system.stack.mqtt_host, port=system.stack.mqtt_port, **{"vens": VENS, **options}))


async def reconcile_fleet(system: System, fleet: Fleet) -> list[Reconciliation]:
    """Wait until what was accepted is stored, and compare."""
    return [
        await reconcile_when_stored(direct_database(system), getattr(fleet, of), rows, patience=PATIENCE)
        for rows, of in LEDGERS
    ]


def direct_database(system: System) -> DatabaseSettings:
    """Return the database settings that bypass the proxies."""
    stack = system.stack
    return system.database.model_copy(update={"db_host": stack.postgres_host, "db_port": stack.postgres_port})


def _result(fault: str, run: FaultRun, reconciliations: list[Reconciliation], pause: float) -> Result:
    return Result(
        fault,
        max(1, run.times),
        sum(balance.accepted for balance in reconciliations),
        sum(balance.stored for balance in reconciliations),
        sum(balance.lost for balance in reconciliations),
        sum(balance.duplicated for balance in reconciliations),
        sum(balance.wrong + balance.unknown for balance in reconciliations),
        pause,
        run.note,
    )


async def assert_recovered(system: System) -> None:
    """Assert that every server runs and every process of ours is ready again."""
    stack = system.stack
    assert all(server.running for server in (stack.kafka, stack.postgres, stack.mqtt))
    for worker in system.workers.values():
        assert not worker.supervised or await wait_until(worker.ready, WAIT), _not_recovered(worker)


def _not_recovered(worker: Worker) -> str:
    return f"{worker.name} did not recover: {worker.process.see_log()}"


async def assert_live_totals_match(system: System) -> None:
    """Assert that the live totals equal the sums of the rows of all online VENs."""
    connection = await asyncpg.connect(**connect_options(direct_database(system), "test"))
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

            async def agree() -> bool:
                rows = await connection.fetchrow(ONLINE)
                answer = await client.get(f"{system.api}/api/stats/network")
                stats = answer.json() if answer.is_success else {}
                same = stats.get("onlineVens") == (rows and rows["vens"])
                return bool(rows and same and abs(stats["householdUsageKw"] - rows["used_kw"]) < 1e-6)

            assert await wait_until(agree, WAIT, every=0.25), "the live totals are not those of the rows"
    finally:
        await connection.close()
