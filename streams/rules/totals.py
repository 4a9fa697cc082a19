"""What the VENs of one partition add up to now."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.network import Totals
from schemas.readings import Load, LoadSnapshot, Reading

LOADS_WAIT = timedelta(days=1)
"""How long the loads of a VEN that is silent are remembered."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class _Latest(NamedTuple):
    received_at: datetime
    measured_at: datetime
    used_kw: float
    shed_kw: float


class _Loads(NamedTuple):
    measured: tuple[datetime, bool]  # when, and whether by a reading
    received_at: datetime
    controllable_kw: float
    potential_kw: float


class PartitionTotals:
    """The last values of each VEN: set, never added, so a message that comes twice changes nothing.

    Values move forward in event time only, those of loads by a clock of their own, for not every reading speaks of
    loads, and of a reading and a snapshot of the same time the reading counts; `received_at` moves forward in received
    time, for it is what makes a VEN online, and so does the time of its last will. Messages of different topics may be
    taken in in any order.
    """

    def __init__(self) -> None:
        self._latest: dict[str, _Latest] = {}
        self._loads: dict[str, _Loads] = {}
        self._left: dict[str, datetime] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def update(self, reading: Reading) -> None:
        """Take a reading in."""
        latest = self._latest.get(reading.ven_id)
        used, shed = reading.used_power_kw or 0.0, reading.shed_power_kw or 0.0
        if latest is None:
            latest = _Latest(reading.received_at, reading.timestamp, used, shed)
        elif reading.timestamp > latest.measured_at:
            latest = _Latest(max(latest.received_at, reading.received_at), reading.timestamp, used, shed)
        elif reading.received_at > latest.received_at:
            latest = latest._replace(received_at=reading.received_at)
        self._latest[reading.ven_id] = latest
        if reading.loads is not None:
            self._update_loads(reading, reading.loads)

    def update_loads(self, snapshot: LoadSnapshot) -> None:
        """Take a load snapshot in; it makes no VEN online."""
        self._update_loads(snapshot, snapshot.loads)

    def leave(self, ven_id: str, received_at: datetime) -> None:
        """Take a last will in: the VEN is offline until a later reading."""
        self._left[ven_id] = max(received_at, self._left.get(ven_id, received_at))

    def totals(self, now: datetime, offline_after: timedelta) -> Totals:
        """Add up the VENs heard within `offline_after` and not gone since; what is older is forgotten."""
        self._forget(now - offline_after)
        online = [
            (latest, self._loads.get(ven_id))
            for ven_id, latest in self._latest.items()
            if not self._left or latest.received_at > self._left.get(ven_id, _NEVER)
        ]
        loads = [loads for _, loads in online if loads is not None]
        return Totals(
            online_vens=len(online),
            household_usage_kw=sum(ven.used_kw for ven, _ in online),
            current_load_reduction_kw=sum(ven.shed_kw for ven, _ in online),
            controllable_power_kw=sum(ven.controllable_kw for ven in loads),
            potential_load_reduction_kw=sum(ven.potential_kw for ven in loads),
        )

    def _update_loads(self, record: Reading | LoadSnapshot, loads: Sequence[Load]) -> None:
        known = self._loads.get(record.ven_id)
        received_at = record.received_at if known is None else max(record.received_at, known.received_at)
        measured = (record.timestamp, isinstance(record, Reading))
        if known is None or measured > known.measured:
            self._loads[record.ven_id] = _Loads(
                measured,
                received_at,
                controllable_kw=sum(load.current_power_kw or 0.0 for load in loads if _can_shed(load)),
                potential_kw=sum(load.shed_capability_kw or 0.0 for load in loads),
            )
        elif received_at > known.received_at:
            self._loads[record.ven_id] = known._replace(received_at=received_at)

    def _forget(self, since: datetime) -> None:
        for ven_id in [ven_id for ven_id, latest in self._latest.items() if latest.received_at < since]:
            del self._latest[ven_id]
        # A list of loads waits for the next reading, for some VENs list them rarely.
        for ven_id in self._loads.keys() - self._latest.keys():
            if self._loads[ven_id].received_at < since - LOADS_WAIT:
                del self._loads[ven_id]
        for ven_id in [ven_id for ven_id, left_at in self._left.items() if left_at < since]:
            del self._left[ven_id]


def _can_shed(load: Load) -> bool:
    return (load.shed_capability_kw or 0.0) > 0
