"""What the VENs of one partition add up to now."""

from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.network import Totals
from schemas.readings import Load, Reading


class _Latest(NamedTuple):
    received_at: datetime
    measured_at: datetime
    used_kw: float
    shed_kw: float
    loads_measured_at: datetime | None = None
    controllable_kw: float = 0.0
    potential_kw: float = 0.0


class PartitionTotals:
    """The last values of each VEN: set, never added, so a message that comes twice changes nothing.

    Values move forward in event time only, those of loads by a clock of their own, for not every reading speaks of
    loads; `received_at` moves forward in received time, for it is what makes a VEN online.
    """

    def __init__(self) -> None:
        self._latest: dict[str, _Latest] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def update(self, reading: Reading) -> None:
        """Take a reading in."""
        latest = self._latest.get(reading.ven_id)
        used, shed = reading.used_power_kw or 0.0, reading.shed_power_kw or 0.0
        if latest is None:
            latest = _Latest(reading.received_at, reading.timestamp, used, shed)
        elif reading.timestamp > latest.measured_at:
            latest = latest._replace(
                received_at=max(latest.received_at, reading.received_at),
                measured_at=reading.timestamp,
                used_kw=used,
                shed_kw=shed,
            )
        elif reading.received_at > latest.received_at:
            latest = latest._replace(received_at=reading.received_at)
        if reading.loads is not None and (
            latest.loads_measured_at is None or reading.timestamp > latest.loads_measured_at
        ):
            latest = latest._replace(
                loads_measured_at=reading.timestamp,
                controllable_kw=sum(load.current_power_kw or 0.0 for load in reading.loads if _can_shed(load)),
                potential_kw=sum(load.shed_capability_kw or 0.0 for load in reading.loads),
            )
        self._latest[reading.ven_id] = latest

    def totals(self, now: datetime, offline_after: timedelta) -> Totals:
        """Add up the VENs heard within `offline_after`; the others are forgotten."""
        since = now - offline_after
        for ven_id in [ven_id for ven_id, latest in self._latest.items() if latest.received_at < since]:
            del self._latest[ven_id]
        latest = self._latest.values()
        return Totals(
            online_vens=len(latest),
            household_usage_kw=sum(ven.used_kw for ven in latest),
            current_load_reduction_kw=sum(ven.shed_kw for ven in latest),
            controllable_power_kw=sum(ven.controllable_kw for ven in latest),
            potential_load_reduction_kw=sum(ven.potential_kw for ven in latest),
        )


def _can_shed(load: Load) -> bool:
    return (load.shed_capability_kw or 0.0) > 0
