"""One ordeal: a fleet under way, something that goes wrong again and again, and books that have to balance."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from gateway.fleet import Accepted, Fleet, FleetOptions, publishing
from gateway.local.system import System
from gateway.local.worker import Worker
from gateway.reconciliation.telemetry import READINGS, SNAPSHOTS, Balance, settled
from gateway.stack.polling import until
from runtime.database import connect_options
from schemas.settings.blocks import DatabaseSettings
from tests.faults.results import Result
from tests.faults.watch import Watch

RATE = 400  # messages/s, all kinds
VENS = 100
# Generous: other tests may run on the same machine, and how long it takes is in the table.
WAIT = 120
PATIENCE = 120

# What of a fleet is compared.
BOOKS = ((READINGS, "ledger"), (SNAPSHOTS, "snapshots"))

ONLINE = """
SELECT count(*) AS vens, COALESCE(sum(used_power_kw), 0) AS used_kw
FROM ven_status WHERE reading_received_at > now() - interval '60 s'
"""

_numbers = itertools.count(1)


class Ordeal:
    """What a fault may use: the system, the fleet, and chance."""

    def __init__(self, system: System, fleet: Fleet, choose: random.Random) -> None:
        self.system = system
        self.fleet = fleet
        self.watch = Watch(direct(system), fleet)
        self.choose = choose
        self.times = 0
        self.note = ""
        self.balances: list[Balance] = []  # of more than the fleet

    async def moment(self) -> None:
        """Wait for a random moment: after work has gone on, not when all has come to rest."""
        await self.accepted(self.choose.randrange(RATE // 8, RATE * 3 // 2))

    async def accepted(self, more: int) -> None:
        """Wait until the broker has accepted so many more messages."""
        enough = self.fleet.accepted + more
        assert await until(lambda: self.fleet.accepted >= enough, WAIT), "the broker accepts nothing any more"

    async def ready(self, *names: str) -> None:
        """Wait until processes of ours can do their work; without names, all of them."""
        for worker in [self.system.workers[name] for name in names or self.system.workers]:
            assert await until(worker.ready, WAIT), f"{worker.name} needs a hand: {worker.process.see_log()}"


Fault = Callable[[Ordeal], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Trials:
    """Puts a system through ordeals and keeps the results; `full` is the long form."""

    system: System
    results: list[Result]
    seed: int
    full: bool

    async def of(self, kind: str, faults: Mapping[str, Fault], *, times: int, short: int = 1) -> None:
        """Let each fault happen `times` times with books of its own; in the short form `short` times in shared books.

        Raises:
            ExceptionGroup: what was found, after all faults had their turn.
        """
        if not self.full:
            deck = [fault for fault in faults.values() for _ in range(short)]
            random.Random(self.seed).shuffle(deck)
            async with self.ordeal(f"{kind} {', '.join(faults)}") as ordeal:
                for fault in deck:
                    await _once(ordeal, fault)
            return
        failures: list[Exception] = []
        for name, fault in faults.items():
            try:
                async with self.ordeal(f"{kind} {name}") as ordeal:
                    for _ in range(times):
                        await _once(ordeal, fault)
            except (Exception, AssertionError) as failure:  # noqa: BLE001 - raised below
                failures.append(failure)
        if failures:
            raise ExceptionGroup(f"{kind}: {len(failures)} of {len(faults)} faults did harm", failures)

    @asynccontextmanager
    async def ordeal(self, fault: str, ledger: Accepted | None = None, **options: Any) -> AsyncIterator[Ordeal]:
        """Have a fleet under way inside; afterwards its books must balance and nothing need a hand."""
        number = next(_numbers)
        fleet = make_fleet(self.system, **{"prefix": f"fault-{number}", "rate": RATE, "seed": self.seed, **options})
        if ledger is not None:
            fleet.ledger = ledger
        ordeal = Ordeal(self.system, fleet, random.Random(f"{self.seed} {fault}"))
        watching = asyncio.create_task(ordeal.watch.run())
        try:
            async with publishing(fleet):
                await ordeal.accepted(RATE // 2)
                yield ordeal
            balances = [*await books(self.system, fleet), *ordeal.balances]
        finally:
            watching.cancel()
            # A watch that ended before has seen no pause: that must not look like a good result.
            with suppress(asyncio.CancelledError):
                await watching
        result = _result(fault, ordeal, balances, ordeal.watch.longest_pause)
        self.results.append(result)
        assert result.accepted > RATE // 2
        assert result.balanced, balances
        await needs_no_hand(self.system)
        await totals_agree(self.system)


async def _once(ordeal: Ordeal, fault: Fault) -> None:
    await fault(ordeal)
    ordeal.times += 1
    await ordeal.moment()


def make_fleet(system: System, **options: Any) -> Fleet:
    """Make a fleet that goes straight to the MQTT broker."""
    return Fleet(FleetOptions(host=system.stack.mqtt_host, port=system.stack.mqtt_port, **{"vens": VENS, **options}))


async def books(system: System, fleet: Fleet) -> list[Balance]:
    """Wait until what was accepted is stored, and compare."""
    return [await settled(direct(system), getattr(fleet, of), rows, patience=PATIENCE) for rows, of in BOOKS]


def direct(system: System) -> DatabaseSettings:
    """Return the way to the database that no test cuts."""
    stack = system.stack
    return system.database.model_copy(update={"db_host": stack.postgres_host, "db_port": stack.postgres_port})


def _result(fault: str, ordeal: Ordeal, balances: list[Balance], pause: float) -> Result:
    return Result(
        fault,
        max(1, ordeal.times),
        sum(balance.accepted for balance in balances),
        sum(balance.stored for balance in balances),
        sum(balance.lost for balance in balances),
        sum(balance.duplicated for balance in balances),
        sum(balance.wrong + balance.unknown for balance in balances),
        pause,
        ordeal.note,
    )


async def needs_no_hand(system: System) -> None:
    """Every server runs and every process of ours does its work again."""
    stack = system.stack
    assert all(server.running for server in (stack.kafka, stack.postgres, stack.mqtt))
    for worker in system.workers.values():
        assert not worker.supervised or await until(worker.ready, WAIT), _needs_a_hand(worker)


def _needs_a_hand(worker: Worker) -> str:
    return f"{worker.name} needs a hand: {worker.process.see_log()}"


async def totals_agree(system: System) -> None:
    """The live totals, rebuilt several times by now, are those of the rows: of all VENs heard in the last minute."""
    connection = await asyncpg.connect(**connect_options(direct(system), "test"))
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

            async def agree() -> bool:
                rows = await connection.fetchrow(ONLINE)
                answer = await client.get(f"{system.api}/api/stats/network")
                stats = answer.json() if answer.is_success else {}
                same = stats.get("onlineVens") == (rows and rows["vens"])
                return bool(rows and same and abs(stats["householdUsageKw"] - rows["used_kw"]) < 1e-6)

            assert await until(agree, WAIT, every=0.25), "the live totals are not those of the rows"
    finally:
        await connection.close()
