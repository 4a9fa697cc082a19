"""Messages that are bad, come again, come out of order, come all at once, or come from wrong clocks."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.fleet import PublishLedger, publishing
from gateway.fleet.malformed import MalformedPayload, malformed_payloads
from gateway.reconciliation.telemetry import reconcile_when_stored
from gateway.stack.polling import wait_until
from tests.faults.fault_run import PATIENCE, RATE, WAIT, FaultRunner, direct_database, make_fleet
from tests.faults.messages import MalformedLedger, publish, reconcile_too_new, samples
from tests.faults.systems import on
from tests.support.servers import connection

BURST = 10
SMALL = 4096
# Whose latest values are not those of their last sample.
BEHIND = """
SELECT count(*) FROM ven_status AS known
WHERE ven_id = ANY ($1) AND measured_at <> (SELECT max(time) FROM telemetry_readings WHERE ven_id = known.ven_id)
"""

pytestmark = [on("plain"), pytest.mark.timeout(300)]


def poison(seed: int) -> list[MalformedPayload]:
    return malformed_payloads(seed, datetime.now(UTC))


async def test_one_percent_malformed_messages_stop_nothing(fault_runner: FaultRunner) -> None:
    bad = await MalformedLedger.open(fault_runner.system)
    async with fault_runner.run("poison, 1 %") as run:
        for message in bad.messages(poison(fault_runner.seed) * (5 if fault_runner.full else 1)):
            await run.accepted(99)
            await publish(fault_runner.system, "poison", [message])
            run.times += 1
        run.reconciliations.append(await bad.balance())


async def test_only_malformed_messages_stop_nothing(fault_runner: FaultRunner) -> None:
    bad = await MalformedLedger.open(fault_runner.system)
    kinds = [kind for kind in poison(fault_runner.seed + 1) if len(kind.payload) < SMALL]
    await publish(fault_runner.system, "poison", bad.messages(kinds * (500 if fault_runner.full else 100)))
    # The good ones come behind them.
    async with fault_runner.run("poison, 100 %") as run:
        run.reconciliations.append(await bad.balance())


async def test_repeated_and_shuffled_messages_count_once(fault_runner: FaultRunner) -> None:
    ledger = PublishLedger()
    last = int(time.time()) - 60
    vens = [f"thrice-{number}" for number in range(20)]
    async with fault_runner.run("each message three times, shuffled") as run:
        deck = [message for ven in vens for message in samples(ledger, ven, range(last - 500, last, 5))] * 3
        run.rng.shuffle(deck)
        await publish(fault_runner.system, "thrice", deck)
        balance = await reconcile_when_stored(direct_database(fault_runner.system), ledger, patience=PATIENCE)
        assert balance.accepted == len(deck) / 3
        run.reconciliations.append(balance)
    async with connection(direct_database(fault_runner.system)) as rows:
        assert await rows.fetchval(BEHIND, vens) == 0


async def test_a_tenfold_burst_loses_nothing(fault_runner: FaultRunner) -> None:
    seconds = 10 if fault_runner.full else 4
    burst = make_fleet(fault_runner.system, prefix="burst", rate=RATE * BURST / 2, seed=fault_runner.seed)
    async with fault_runner.run("burst of 10 times the rate", rate=RATE / 2) as run:
        began = time.monotonic()
        async with publishing(burst):
            assert await wait_until(lambda: burst.accepted >= RATE * BURST / 2 * seconds * 6 / 7, WAIT * 2)
        reached = (burst.accepted + len(burst.snapshots)) / (time.monotonic() - began)
        run.note = f"{RATE // 2} messages/s, and {reached:.0f} messages/s more for {time.monotonic() - began:.0f} s"
        run.reconciliations.append(
            await reconcile_when_stored(direct_database(fault_runner.system), burst.ledger, patience=PATIENCE)
        )


async def test_clocks_off_by_hours_lose_nothing(fault_runner: FaultRunner) -> None:
    now = datetime.now(UTC)
    options = {"rate": RATE / 4, "loads_enabled": False, "seed": fault_runner.seed}
    behind = make_fleet(fault_runner.system, prefix="behind", start=now - timedelta(hours=6), **options)
    ahead = make_fleet(fault_runner.system, prefix="ahead", start=now + timedelta(hours=3), **options)
    async with fault_runner.run("clocks off by hours") as run:
        async with publishing(behind), publishing(ahead):
            await run.accepted(RATE * (15 if fault_runner.full else 3))
        run.reconciliations.append(
            await reconcile_when_stored(direct_database(fault_runner.system), behind.ledger, patience=PATIENCE)
        )
        run.reconciliations.append(await reconcile_too_new(fault_runner.system, ahead))
        random_ven = random.Random(fault_runner.seed).randrange(100)
        async with connection(direct_database(fault_runner.system)) as rows:
            ven_id = ahead.options.ven_id(random_ven)
            assert not await rows.fetchval("SELECT EXISTS (SELECT FROM ven_status WHERE ven_id = $1)", ven_id)
