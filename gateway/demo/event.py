"""The DR event of `gateway demo`: created over REST once the fleet has settled in, and followed to its end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from gateway.fleet import DrLedger
from gateway.reconciliation.dr import DrReconciliation, online_at, reconcile_dr

BEGINS_AFTER_SECONDS = 20.0
LASTS_SECONDS = 60.0
LEAST_SECONDS = 5.0
# What a demo needs after the event: restores have to reach slow homes, and samples the database.
REST_SECONDS = 10.0
TIME_FOR_ONE = BEGINS_AFTER_SECONDS + LEAST_SECONDS + REST_SECONDS
STAGES = ("targeted", "sent", "acknowledged", "refused", "unanswered", "lost", "shedding", "restored")
SELDOM = frozenset({"unanswered", "lost"})
# Of what the fleet can shed.
SHARE = 0.5
# A VEN whose first sample is younger may not be stored yet, and so not be online.
HEARD_BEFORE_MS = 5000


class DemoEvent:
    """One event, from the outside: all it knows of the gateway comes from REST, and of the fleet from its ledger."""

    def __init__(self, api: str, seconds: float | None) -> None:
        """Plan it for a demo of so many seconds, None being without end."""
        left = LASTS_SECONDS if seconds is None else seconds - BEGINS_AFTER_SECONDS - REST_SECONDS
        self.lasts_seconds = min(LASTS_SECONDS, left)
        self.detail: dict[str, Any] | None = None
        self.trouble: str | None = None
        self._events = f"{api}/api/events"
        self._key = str(uuid4())
        self._id: str | None = None
        self._asked: dict[str, Any] | None = None
        self._asked_ms = 0

    @property
    def planned(self) -> bool:
        """Whether the demo is long enough for an event."""
        return self.lasts_seconds >= LEAST_SECONDS

    @property
    def over(self) -> bool:
        """Whether it was completed when it was last looked at."""
        return self.detail is not None and self.detail["status"] == "completed"

    async def look(self, elapsed: float, network: dict[str, Any] | None) -> None:
        """Create it when its time has come (`elapsed` is in seconds), then see how it goes.

        `network` tells what the fleet can shed; where it does not, or nobody answers, the next look may do better.
        """
        try:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                if self._id is None:
                    if self.planned and elapsed >= BEGINS_AFTER_SECONDS:
                        await self._create(client, network or {})
                else:
                    answer = await client.get(f"{self._events}/{self._id}")
                    self.detail = answer.json() if answer.is_success else self.detail
        except httpx.HTTPError as error:
            self.trouble = str(error) or type(error).__name__

    async def _create(self, client: httpx.AsyncClient, network: dict[str, Any]) -> None:
        kw = round(SHARE * (network.get("potentialLoadReductionKw") or 0.0), 1)
        if self._asked is None and kw > 0:
            now = datetime.now(UTC)
            self._asked = {
                "startTime": now.isoformat(),
                "endTime": (now + timedelta(seconds=self.lasts_seconds)).isoformat(),
                "requestedReductionKw": kw,
                "status": "active",
            }
            self._asked_ms = int(now.timestamp() * 1000)
        if self._asked is not None:
            # The same again where nobody answered: with its key it is one event all the same.
            answer = await client.post(self._events, json=self._asked, headers={"Idempotency-Key": self._key})
            self._id = answer.raise_for_status().json()["id"]
            self.trouble = None

    @property
    def failed(self) -> bool:
        """Whether it was asked for in vain; `trouble` says why."""
        return self._asked is not None and self._id is None

    def books(self, ledger: DrLedger) -> DrReconciliation | None:
        """What the fleet was told of it; None without an event."""
        if self._id is None:
            return None
        online = online_at(ledger, self._asked_ms - HEARD_BEFORE_MS)
        return reconcile_dr(ledger, self._id, online, over=self.over)

    def figures(self) -> dict[str, Any] | None:
        """What it came to, for `--json`: kW and kWh, shares from 0 to 1, and how many VENs got how far."""
        if self.detail is None:
            return None
        detail = self.detail
        return {
            "id": detail["id"],
            "status": detail["status"],
            "requested_kw": detail["requestedReductionKw"],
            "reduced_kw": detail["actualReductionKw"],
            "delivered_kwh": detail["deliveredKwh"],
            "covered_share": detail["coveredShare"],
            "vens": len(detail["vens"]),
            "funnel": detail["funnel"],
        }

    def words(self, elapsed: float) -> tuple[str, str]:
        """Say how it goes, `elapsed` seconds into the demo: how many VENs got how far, and kW."""
        if self.detail is not None:
            return f"{self.detail['id']} {self.detail['status']}: {self._stages()}", self._kw()
        if self.planned and self.trouble is None:
            return f"begins in {max(0.0, BEGINS_AFTER_SECONDS - elapsed):.0f} s", "-"
        return f"none: {self._why_none()}", "-"

    def came_to(self, books: DrReconciliation | None) -> str:
        """Say what it came to, and what the fleet counted."""
        if self.detail is None or books is None:
            return f"no DR event: {self._why_none()}"
        kwh = self.detail["deliveredKwh"]
        return (
            f"DR event {self.detail['id']}, {self.detail['status']}: {self._kw()}"
            f"{'' if kwh is None else f' on average ({kwh:,.2f} kWh)'}; {self._stages()}; "
            f"the fleet counts {books.told} VENs that were told, {books.restored} that were sent a restore, "
            f"{books.repeated} commands too many, {books.untold} VENs not told, {books.unrestored} not restored"
        )

    def _stages(self) -> str:
        funnel = {} if self.detail is None else self.detail["funnel"]
        # Of an event that is over it is who shed at some time.
        names = {"shedding": "shed"} if self.over else {}
        told = [stage for stage in STAGES if stage in funnel and (funnel[stage] or stage not in SELDOM)]
        return ", ".join(f"{funnel[stage]} {names.get(stage, stage)}" for stage in told)

    def _kw(self) -> str:
        detail = self.detail or {}
        return f"{detail['requestedReductionKw']:,.1f} kW requested, {detail['actualReductionKw']:,.1f} kW reduced"

    def _why_none(self) -> str:
        if not self.planned:
            return f"it begins after {BEGINS_AFTER_SECONDS:.0f} s, and needs --seconds {TIME_FOR_ONE:.0f} or more"
        return self.trouble or f"it begins after {BEGINS_AFTER_SECONDS:.0f} s, as soon as the fleet can shed something"
