"""A VEN that was offline for six hours sends all it has at once: its history fills in, and nobody waits for it."""

import asyncio
import math
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from gateway.fleet import Fleet, PublishLedger, Sample
from gateway.fleet.home import Home
from gateway.fleet.publish_ledger import LedgerEntry
from gateway.reconciliation.telemetry import reconcile_when_stored
from gateway.stack.polling import wait_until
from tests.faults.fault_run import PATIENCE, WAIT, FaultRunner, direct_database
from tests.faults.messages import publish, samples
from tests.faults.systems import on
from tests.support.servers import connection

VEN = "six-hours-offline"
BACKLOG = 4320  # samples, one every 5 s
EVERY = 5
LOOK_SECONDS = 0.05
# Of the others, from publishing to a row that can be read. The promise is 2 s, and the report has the figure; a machine
# that runs other tests beside is given more.
MOST_P99_SECONDS = 10.0

NEW = "SELECT ven_id, time FROM telemetry_readings WHERE ven_id = ANY ($1) AND time > $2"

pytestmark = [on("plain"), pytest.mark.timeout(300)]


class Timed(PublishLedger):
    """A ledger that also notes when each sample was published."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[tuple[str, int], float] = {}

    def add(self, ven_id: str, time_ms: int, sample: Sample) -> LedgerEntry:
        self.at[ven_id, time_ms] = time.monotonic()
        return super().add(ven_id, time_ms, sample)


class Delays:
    """How long each sample published after `since` took to become a row, by looking again and again."""

    def __init__(self, fleet: Fleet, published: Timed) -> None:
        self._published = published
        self._ven_ids = [fleet.options.ven_id(index) for index in range(fleet.options.vens)]
        self.seconds: dict[tuple[str, int], float] = {}
        self.since = math.inf

    async def follow(self, fault_runner: FaultRunner) -> None:
        async with connection(direct_database(fault_runner.system)) as rows:
            while True:
                since = datetime.now(UTC) - timedelta(seconds=30)
                found = await rows.fetch(NEW, self._ven_ids, since)
                now = time.monotonic()
                for row in found:
                    key = (row["ven_id"], round(row["time"].timestamp() * 1000))
                    if key not in self.seconds and self._published.at.get(key, 0) > self.since:
                        self.seconds[key] = now - self._published.at[key]
                await asyncio.sleep(LOOK_SECONDS)

    def percentile(self, part: float) -> float:
        ordered = sorted(self.seconds.values())
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


async def test_a_six_hour_backlog_delays_no_other_ven(fault_runner: FaultRunner) -> None:
    ledger, published = PublishLedger(), Timed()
    now = int(time.time())
    # It says how it is, and then what it has not said in six hours.
    today = list(samples(ledger, VEN, [now]))
    backlog = list(samples(ledger, VEN, range(now - BACKLOG * EVERY, now, EVERY)))
    live_kw = Home(1, 0).at(now).used_kw
    # As the clock goes: one sample a second from each of a hundred homes.
    async with fault_runner.run("backlog of six hours", published, rate=None, interval=1.0) as run:
        delays = Delays(run.fleet, published)
        await publish(fault_runner.system, VEN, today)
        assert await wait_until(lambda: is_shown(fault_runner), WAIT)
        following = [
            asyncio.create_task(delays.follow(fault_runner)),
            asyncio.create_task(never_back(fault_runner, live_kw)),
        ]
        await run.accepted(100)
        began = delays.since = time.monotonic()
        await publish(fault_runner.system, VEN, backlog)
        run.reconciliations.append(
            await reconcile_when_stored(direct_database(fault_runner.system), ledger, patience=PATIENCE)
        )
        took = time.monotonic() - began
        await run.accepted(1000 if fault_runner.full else 200)
        for task in following:
            task.cancel()
        for task in following:
            with suppress(asyncio.CancelledError):
                await task
        p50, p99 = delays.percentile(0.5), delays.percentile(0.99)
        run.note = (
            f"{BACKLOG:,} samples of one VEN stored {took:.1f} s after the first was published; meanwhile the others' "
            f"took {p50:.2f} s from publishing to the row at the median, {p99:.2f} s at the 99th percentile "
            f"({len(delays.seconds)} samples)"
        )
        assert p99 < MOST_P99_SECONDS


async def never_back(fault_runner: FaultRunner, live_kw: float) -> None:
    """Look at the VEN as dashboards do, again and again: it shows what it measured last."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        while True:
            shown = (await client.get(f"{fault_runner.system.api}/api/vens/{VEN}")).json()
            assert shown["metrics"]["currentPowerKw"] == pytest.approx(live_kw), shown
            await asyncio.sleep(LOOK_SECONDS)


async def is_shown(fault_runner: FaultRunner) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return (await client.get(f"{fault_runner.system.api}/api/vens/{VEN}")).is_success
