"""A fleet with every behaviour, late joiners, and what a DR event of them shows from outside."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import httpx

from gateway.fleet import Behaviour, Fleet
from gateway.reconciliation.command_observer import CommandObserver
from tests.support.expected_performance import Outcome, outcome_of, reduction_at

VENS = 200
LATE_VENS = 6
INTERVAL_SECONDS = 2.0
DURATION_SECONDS = 28
REQUESTED_KW = 90.0
WAIT = 60
EXACT = 1e-3  # of the figures
ROUNDED = 1e-6  # they have six decimals
BEHAVIOUR_SHARE = 0.04
BEHAVIOURS: dict[Behaviour, float] = {
    behaviour: BEHAVIOUR_SHARE for behaviour in Behaviour if behaviour is not Behaviour.COMPLIANT
}
QUICK: dict[str, Any] = {"slow_seconds": 3.0, "power_cut_seconds": 6.0}
STATUS = {
    Behaviour.COMPLIANT: "restored",
    Behaviour.SLOW: "restored",
    Behaviour.REPEATS: "restored",
    Behaviour.LIES: "restored",  # its reports are the only evidence
    Behaviour.PARTIAL: "restored",
    Behaviour.REFUSES: "refused",
    Behaviour.SILENT: "unanswered",
    Behaviour.FORGETS: "lost",
}
PERCENTILES = {"p50": 0.5, "p95": 0.95}
NOT_SHEDDING = {Behaviour.REFUSES, Behaviour.SILENT}


class Scene:
    """A fleet, late joiners, the observed MQTT commands, and the API."""

    def __init__(self, api: httpx.AsyncClient, seen: CommandObserver, fleet: Fleet, late: Fleet) -> None:
        self.api = api
        self.observer = seen
        self.fleet = fleet
        self.late = late
        self.event_id = ""
        self.ends_at = 0.0

    @property
    def behaviours(self) -> dict[str, Behaviour]:
        return {**self.fleet.behaviours, **self.late.behaviours}

    def with_behaviour(self, *behaviours: Behaviour) -> list[str]:
        return [ven_id for ven_id, behaviour in self.behaviours.items() if behaviour in behaviours]

    async def get(self, path: str, **query: Any) -> Any:
        return (await self.api.get(path, params=query)).raise_for_status().json()

    async def detail(self) -> dict[str, Any]:
        return dict(await self.get(f"/api/events/{self.event_id}"))

    async def online(self, ven_ids: Iterable[str]) -> bool:
        vens = await self.get("/api/vens/summary", limit=1000)
        return {ven["id"] for ven in vens if ven["status"] == "online"} >= set(ven_ids)

    def reduction_now(self) -> float:
        now = datetime.now(UTC).timestamp()
        return sum(reduction_at(fleet.dr, self.event_id, now) for fleet in (self.fleet, self.late))

    def outcome(self, start: float, end: float) -> Outcome:
        mine, theirs = (outcome_of(fleet.dr, self.event_id, start, end) for fleet in (self.fleet, self.late))
        return Outcome(
            mine.mean_kw | theirs.mean_kw, mine.energy_kwh | theirs.energy_kwh, mine.covered | theirs.covered
        )
