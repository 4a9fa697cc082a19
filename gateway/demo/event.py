"""The DR event of `gateway demo`: created over REST once the fleet has settled in, and polled until its end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from gateway.fleet import DrLedger
from gateway.reconciliation.dr import DrReconciliation, online_at, reconcile_dr

START_AFTER_SECONDS = 20.0
DURATION_SECONDS = 60.0
MIN_DURATION_SECONDS = 5.0
# What the demo needs after the event: slow homes receive their restores, and the last samples are stored.
TAIL_SECONDS = 10.0
MIN_DEMO_SECONDS = START_AFTER_SECONDS + MIN_DURATION_SECONDS + TAIL_SECONDS
STEPS = ("targeted", "sent", "acknowledged", "refused", "unanswered", "lost", "shedding", "restored")
RARE_STEPS = frozenset({"unanswered", "lost"})  # shown only when they are not 0
REQUESTED_SHARE = 0.5  # of what the fleet can shed
# A VEN whose first sample is younger than this may not be stored yet, and so not be online.
ONLINE_MARGIN_MS = 5000


class DemoEvent:
    """One event, seen from outside: REST tells about the gateway, and the ledger about the fleet."""

    def __init__(self, api: str, seconds: float | None) -> None:
        """Plan the event for a demo of `seconds`; None is a demo without an end."""
        left = DURATION_SECONDS if seconds is None else seconds - START_AFTER_SECONDS - TAIL_SECONDS
        self.duration_seconds = min(DURATION_SECONDS, left)
        self.detail: dict[str, Any] | None = None
        self.error: str | None = None
        self._url = f"{api}/api/events"
        self._idempotency_key = str(uuid4())
        self._id: str | None = None
        self._request: dict[str, Any] | None = None
        self._requested_ms = 0

    @property
    def planned(self) -> bool:
        """Whether the demo is long enough for an event."""
        return self.duration_seconds >= MIN_DURATION_SECONDS

    @property
    def completed(self) -> bool:
        """Whether the event was completed at the last poll."""
        return self.detail is not None and self.detail["status"] == "completed"

    @property
    def failed(self) -> bool:
        """Whether the event was requested and not created; `error` says why."""
        return self._request is not None and self._id is None

    async def poll(self, elapsed: float, network: dict[str, Any] | None) -> None:
        """Create the event when it is due, `elapsed` seconds into the demo, and read its state from then on.

        `network` are the live totals, which say what the fleet can shed. After a failure the next poll tries again.
        """
        try:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                if self._id is None:
                    if self.planned and elapsed >= START_AFTER_SECONDS:
                        await self._create(client, network or {})
                else:
                    response = await client.get(f"{self._url}/{self._id}")
                    self.detail = response.json() if response.is_success else self.detail
        except httpx.HTTPError as error:
            self.error = str(error) or type(error).__name__

    async def _create(self, client: httpx.AsyncClient, network: dict[str, Any]) -> None:
        kw = round(REQUESTED_SHARE * (network.get("potentialLoadReductionKw") or 0.0), 1)
        if self._request is None and kw > 0:
            now = datetime.now(UTC)
            self._request = {
                "startTime": now.isoformat(),
                "endTime": (now + timedelta(seconds=self.duration_seconds)).isoformat(),
                "requestedReductionKw": kw,
                "status": "active",
            }
            self._requested_ms = int(now.timestamp() * 1000)
        if self._request is not None:
            # With its idempotency key, a repeated request creates no second event.
            headers = {"Idempotency-Key": self._idempotency_key}
            response = await client.post(self._url, json=self._request, headers=headers)
            self._id = response.raise_for_status().json()["id"]
            self.error = None

    def reconcile(self, ledger: DrLedger) -> DrReconciliation | None:
        """Reconcile the commands that the fleet received; None without an event."""
        if self._id is None:
            return None
        online = online_at(ledger, self._requested_ms - ONLINE_MARGIN_MS)
        return reconcile_dr(ledger, self._id, online, completed=self.completed)

    def as_dict(self) -> dict[str, Any] | None:
        """Return the result for `--json`: kW, kWh, shares from 0 to 1, and the funnel; None without an event."""
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

    def progress(self, elapsed: float) -> tuple[str, str]:
        """Describe the funnel and the reduction, `elapsed` seconds into the demo."""
        if self.detail is not None:
            return f"{self.detail['id']} {self.detail['status']}: {self._funnel()}", self._reduction()
        if self.planned and self.error is None:
            return f"starts in {max(0.0, START_AFTER_SECONDS - elapsed):.0f} s", "-"
        return f"none: {self._why_none()}", "-"

    def summary(self, reconciliation: DrReconciliation | None) -> str:
        """Describe the result, and what the fleet received."""
        if self.detail is None or reconciliation is None:
            return f"No DR event: {self._why_none()}."
        kwh = self.detail["deliveredKwh"]
        energy = "" if kwh is None else f" on average ({kwh:,.2f} kWh)"
        return (
            f"DR event {self.detail['id']} ({self.detail['status']}): {self._reduction()}{energy}; {self._funnel()}.\n"
            f"The fleet received: event command at {reconciliation.commanded} VENs, restore at "
            f"{reconciliation.restored}; {reconciliation.repeated} commands repeated, {reconciliation.missed} VENs "
            f"missed, {reconciliation.unrestored} not restored."
        )

    def _funnel(self) -> str:
        funnel = {} if self.detail is None else self.detail["funnel"]
        # For a completed event this counts the VENs that shed at any time.
        names = {"shedding": "shed"} if self.completed else {}
        shown = [step for step in STEPS if step in funnel and (funnel[step] or step not in RARE_STEPS)]
        return ", ".join(f"{funnel[step]} {names.get(step, step)}" for step in shown)

    def _reduction(self) -> str:
        detail = self.detail or {}
        return f"{detail['requestedReductionKw']:,.1f} kW requested, {detail['actualReductionKw']:,.1f} kW reduced"

    def _why_none(self) -> str:
        if not self.planned:
            return f"it starts after {START_AFTER_SECONDS:.0f} s and needs --seconds {MIN_DEMO_SECONDS:.0f} or more"
        return self.error or f"it starts after {START_AFTER_SECONDS:.0f} s, once the fleet can shed"
