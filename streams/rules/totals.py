"""What the VENs of one partition add up to now."""

from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.network import Totals
from schemas.readings import Load, Reading


class _Latest(NamedTuple):
    measured_at: datetime
    received_at: datetime
    used_kw: float
    shed_kw: float
    controllable_kw: float
    potential_kw: float


class PartitionTotals:
    """The last values of each VEN: set, never added, so a message that comes twice changes nothing.

    Values move forward in event time only; `received_at` in received time, for it is what makes a VEN online.
    """

    def __init__(self) -> None:
        self._latest: dict[str, _Latest] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def update(self, reading: Reading) -> None:
        """Take a reading in."""
        known = self._latest.get(reading.ven_id)
        if known is None:
            self._latest[reading.ven_id] = _latest_of(reading, 0.0, 0.0)
        elif reading.timestamp > known.measured_at:
            latest = _latest_of(reading, known.controllable_kw, known.potential_kw)
            self._latest[reading.ven_id] = latest._replace(received_at=max(known.received_at, reading.received_at))
        elif reading.received_at > known.received_at:
            self._latest[reading.ven_id] = known._replace(received_at=reading.received_at)

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


def _latest_of(reading: Reading, controllable_kw: float, potential_kw: float) -> _Latest:
    if reading.loads is not None:
        controllable_kw = sum(load.current_power_kw or 0.0 for load in reading.loads if _can_shed(load))
        potential_kw = sum(load.shed_capability_kw or 0.0 for load in reading.loads)
    return _Latest(
        reading.timestamp,
        reading.received_at,
        reading.used_power_kw or 0.0,
        reading.shed_power_kw or 0.0,
        controllable_kw,
        potential_kw,
    )


def _can_shed(load: Load) -> bool:
    return (load.shed_capability_kw or 0.0) > 0
