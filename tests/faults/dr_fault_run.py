"""A DR event under faults: a fleet that executes commands, an independent MQTT observer, and the expected end state."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.fleet import FIELD_MIX, Behaviour, Fleet, publishing
from gateway.local.system import System
from gateway.reconciliation.command_observer import CommandObserver, observe_commands
from gateway.stack.polling import wait_until
from tests.faults.fault_run import WAIT, make_fleet
from tests.support.expected_performance import Outcome, commands_of, outcome_of

VENS = 100
ASKED_KW = 40.0
EXACT = 1e-3  # tolerance of event metrics
ROUNDED = 1e-6  # they have six decimals
# Settlement runs again after the end, for late samples.
SETTLED_SECONDS = 180

STATUS = {
    Behaviour.REFUSES: {"refused"},
    Behaviour.SILENT: {"unanswered"},
    # What was lost while nobody could look is known later; what was lost just before the end is never known.
    Behaviour.FORGETS: {"lost", "restored"},
}


class DrFaultRun:
    """What faults may use, and what is looked at afterwards."""

    def __init__(self, system: System, fleet: Fleet, seen: CommandObserver) -> None:
        self.system = system
        self.fleet = fleet
        self.observer = seen
        self.vens = list(fleet.behaviours)

    async def get(self, path: str) -> httpx.Response:
        """Ask until somebody answers: the API may be down just now."""
        return await self._ask("GET", path)

    async def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        """The same again where nobody answered; with a key it is done once."""
        return await self._ask("POST", path, json=body, headers={} if key is None else {"Idempotency-Key": key})

    async def delete(self, path: str) -> httpx.Response:
        return await self._ask("DELETE", path)

    async def create(self, lasts: float, begins: float | None = None) -> dict[str, Any]:
        """Create an event of so many seconds for the fleet: active, or scheduled to begin so many seconds from now."""
        start = datetime.now(UTC) + timedelta(seconds=begins or 0)
        body = {
            "startTime": start.isoformat(),
            "endTime": (start + timedelta(seconds=lasts)).isoformat(),
            "requestedReductionKw": ASKED_KW,
            "status": "active" if begins is None else "scheduled",
            "venIds": self.vens,
        }
        answer = await self.post("/api/events", body, key=f"fault-run-{start.timestamp()}")
        return dict(answer.raise_for_status().json())

    async def detail(self, event_id: str) -> dict[str, Any]:
        return dict((await self.get(f"/api/events/{event_id}")).raise_for_status().json())

    async def wait_until_commanded(self, event_id: str, seconds: float = WAIT) -> None:
        """Wait until all VENs have a command."""
        assert await self.observer.wait_for_vens(event_id, "event", self.vens, seconds), self._missing(
            event_id, "event"
        )

    async def wait_until_restored(self, event_id: str, seconds: float = WAIT) -> None:
        """Wait until all were restored."""
        assert await self.observer.wait_for_vens(event_id, "restore", self.vens, seconds), self._missing(
            event_id, "restore"
        )

    def _missing(self, event_id: str, op: str) -> str:
        missing = {(ven_id, op) for ven_id in self.vens} - self.observer.counts(event_id).keys()
        return f"{len(missing)} of {len(self.vens)} had no {op}: {sorted(missing)[:3]}"

    def assert_sent_once(self, event_id: str) -> None:
        """One command for each VEN and phase went out, and each home received as many."""
        expected = Counter((ven_id, op) for ven_id in self.vens for op in ("event", "restore"))
        for count in (self.observer.counts(event_id), commands_of(self.fleet.dr, event_id)):
            assert {each: n for each, n in count.items() if n > 1} == {}, "commanded twice"
            assert count == expected

    async def wait_for_settled_metrics(self, event_id: str) -> dict[str, Any]:
        """Wait until the event is over with the expected metrics and statuses."""
        event = await self.detail(event_id)
        start = datetime.fromisoformat(event["startTime"]).timestamp()
        end = datetime.fromisoformat(event["endedAt"] or event["endTime"]).timestamp()
        outcome = outcome_of(self.fleet.dr, event_id, start, end)

        async def agrees() -> bool:
            nonlocal outcome
            # Anew: samples are stamped in whole seconds, so that some of before the end are yet to come.
            outcome = outcome_of(self.fleet.dr, event_id, start, end)
            event.update(await self.detail(event_id))
            return bool(
                event["status"] == "completed"
                and outcome.reduction_kw > 0
                and event["actualReductionKw"] == pytest.approx(outcome.reduction_kw, rel=EXACT, abs=ROUNDED)
                and event["deliveredKwh"] == pytest.approx(outcome.delivered_kwh, rel=EXACT, abs=ROUNDED)
                and event["coveredShare"] == pytest.approx(outcome.covered_share, rel=EXACT, abs=ROUNDED)
                and {ven["venId"]: ven["deliveredKwh"] for ven in event["vens"]}
                == pytest.approx(outcome.energy_kwh, rel=EXACT, abs=ROUNDED)
                and self._statuses_are_right(event)
            )

        assert await wait_until(agrees, SETTLED_SECONDS, every=0.5), self._differences(event, outcome)
        return event

    def _statuses_are_right(self, event: dict[str, Any]) -> bool:
        return not self._wrong_statuses(event)

    def _wrong_statuses(self, event: dict[str, Any]) -> Counter[tuple[Behaviour, str]]:
        found = Counter((self.fleet.behaviours[ven["venId"]], ven["status"]) for ven in event["vens"])
        return Counter(
            {
                (behaviour, status): number
                for (behaviour, status), number in found.items()
                if status not in STATUS.get(behaviour, {"restored"})
            }
        )

    def _differences(self, event: dict[str, Any], outcome: Outcome) -> str:
        names = ("actualReductionKw", "deliveredKwh", "coveredShare")
        expected = (outcome.reduction_kw, outcome.delivered_kwh, outcome.covered_share)
        figures = f"{[event[name] for name in names]} are to be {expected}"
        vens = {
            ven["venId"]: (ven["deliveredKwh"], outcome.energy_kwh[ven["venId"]], self.fleet.behaviours[ven["venId"]])
            for ven in event["vens"]
            if ven["deliveredKwh"] != pytest.approx(outcome.energy_kwh[ven["venId"]], rel=EXACT, abs=ROUNDED)
        }
        return f"{figures}; kWh of {vens}; wrong statuses: {self._wrong_statuses(event)}"

    async def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def answered() -> bool:
            with suppress(httpx.TransportError):
                async with httpx.AsyncClient(base_url=self.system.api, timeout=10, trust_env=False) as client:
                    answer = await client.request(method, path, **given)
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    answers.append(answer)
            return bool(answers)

        assert await wait_until(answered, WAIT, every=0.2), f"nobody answers {method} {path}"
        return answers[0]


@asynccontextmanager
async def dr_fault_run(system: System, prefix: str, **options: Any) -> AsyncIterator[DrFaultRun]:
    """Have a fleet that obeys inside, all of it online."""
    given = {"vens": VENS, "interval": 2.0, "behaviours": FIELD_MIX, "slow_seconds": 3.0, "power_cut_seconds": 8.0}
    fleet = make_fleet(system, **{**given, "prefix": prefix, **options})
    async with (
        observe_commands(system.stack.mqtt_host, system.stack.mqtt_port, "test-dr-wire") as seen,
        publishing(fleet),
    ):
        run = DrFaultRun(system, fleet, seen)

        async def online() -> bool:
            vens = (await run.get("/api/vens/summary?limit=1000")).json()
            return {ven["id"] for ven in vens if ven["status"] == "online"} >= set(run.vens)

        assert await wait_until(online, WAIT, every=0.25), "the fleet does not come online"
        yield run
        await asyncio.gather(
            *(wait_until(worker.ready, WAIT) for worker in system.workers.values() if worker.supervised)
        )
