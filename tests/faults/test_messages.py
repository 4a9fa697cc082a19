"""Messages that are bad, come again, come out of order, come all at once, or come from wrong clocks."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.fleet import Accepted, publishing
from gateway.fleet.malformed import Garbage, garbage
from gateway.reconciliation.telemetry import settled
from gateway.stack.polling import until
from tests.faults.messages import Bad, publish, samples, too_new
from tests.faults.ordeal import PATIENCE, RATE, WAIT, Trials, direct, make_fleet
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


def poison(seed: int) -> list[Garbage]:
    return garbage(seed, datetime.now(UTC))


async def test_one_message_in_a_hundred_is_bad(trials: Trials) -> None:
    bad = await Bad.open(trials.system)
    async with trials.ordeal("poison, 1 %") as ordeal:
        for message in bad.messages(poison(trials.seed) * (5 if trials.full else 1)):
            await ordeal.accepted(99)
            await publish(trials.system, "poison", [message])
            ordeal.times += 1
        ordeal.balances.append(await bad.balance())


async def test_all_messages_are_bad_for_a_while(trials: Trials) -> None:
    bad = await Bad.open(trials.system)
    kinds = [kind for kind in poison(trials.seed + 1) if len(kind.payload) < SMALL]
    await publish(trials.system, "poison", bad.messages(kinds * (500 if trials.full else 100)))
    # The good ones come behind them.
    async with trials.ordeal("poison, 100 %") as ordeal:
        ordeal.balances.append(await bad.balance())


async def test_everything_comes_three_times_and_shuffled(trials: Trials) -> None:
    ledger = Accepted()
    last = int(time.time()) - 60
    vens = [f"thrice-{number}" for number in range(20)]
    async with trials.ordeal("each message three times, shuffled") as ordeal:
        deck = [message for ven in vens for message in samples(ledger, ven, range(last - 500, last, 5))] * 3
        ordeal.choose.shuffle(deck)
        await publish(trials.system, "thrice", deck)
        balance = await settled(direct(trials.system), ledger, patience=PATIENCE)
        assert balance.accepted == len(deck) / 3
        ordeal.balances.append(balance)
    async with connection(direct(trials.system)) as rows:
        assert await rows.fetchval(BEHIND, vens) == 0


async def test_a_burst(trials: Trials) -> None:
    seconds = 10 if trials.full else 4
    burst = make_fleet(trials.system, prefix="burst", rate=RATE * BURST / 2, seed=trials.seed)
    async with trials.ordeal("burst of 10 times the rate", rate=RATE / 2) as ordeal:
        began = time.monotonic()
        async with publishing(burst):
            assert await until(lambda: burst.accepted >= RATE * BURST / 2 * seconds * 6 / 7, WAIT * 2)
        reached = (burst.accepted + len(burst.snapshots)) / (time.monotonic() - began)
        ordeal.note = f"{RATE // 2} messages/s, and {reached:.0f} messages/s more for {time.monotonic() - began:.0f} s"
        ordeal.balances.append(await settled(direct(trials.system), burst.ledger, patience=PATIENCE))


async def test_clocks_are_off_by_hours(trials: Trials) -> None:
    now = datetime.now(UTC)
    options = {"rate": RATE / 4, "loads_enabled": False, "seed": trials.seed}
    behind = make_fleet(trials.system, prefix="behind", start=now - timedelta(hours=6), **options)
    ahead = make_fleet(trials.system, prefix="ahead", start=now + timedelta(hours=3), **options)
    async with trials.ordeal("clocks off by hours") as ordeal:
        async with publishing(behind), publishing(ahead):
            await ordeal.accepted(RATE * (15 if trials.full else 3))
        ordeal.balances.append(await settled(direct(trials.system), behind.ledger, patience=PATIENCE))
        ordeal.balances.append(await too_new(trials.system, ahead))
        random_ven = random.Random(trials.seed).randrange(100)
        async with connection(direct(trials.system)) as rows:
            ven_id = ahead.options.ven_id(random_ven)
            assert not await rows.fetchval("SELECT EXISTS (SELECT FROM ven_status WHERE ven_id = $1)", ven_id)
