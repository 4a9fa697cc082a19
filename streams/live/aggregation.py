"""The live totals of one partition's VENs."""

from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from schemas.records.network import LoadTypeTotals, Totals, TotalsLoad, TotalsReading, VenLoads
from schemas.records.telemetry import Load, LoadSnapshot, Reading

LOADS_RETENTION = timedelta(days=1)
"""How long the loads of a silent VEN are kept."""

OTHER_TYPE = "other"
MAX_TYPES = 200
"""Types are free text: beyond this number per partition they count as `other`, so that records stay small."""
MAX_TYPE_CHARACTERS = 256
"""Types with longer names count as `other` too."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class _Latest(NamedTuple):
    received_at: datetime = _NEVER
    # Of the newest sample: its time by the VEN's clock, and corrected.
    timestamp: datetime = _NEVER
    measured_at: datetime = _NEVER
    digest: int | None = None
    used_at: datetime = _NEVER
    used_kw: float = 0.0
    shed_at: datetime = _NEVER
    shed_kw: float = 0.0

    def conflicts_with(self, reading: TotalsReading | Reading) -> bool:
        """Return whether another reading of the same time was first; the sink rejects such a reading."""
        return self.timestamp == reading.timestamp and len({self.digest, reading.digest} - {None}) > 1


_UNKNOWN = _Latest()


class PartitionTotals:
    """The latest values of each VEN. They are set, never added, so duplicates change nothing.

    Values move forward in event time, corrected by the VEN's clock skew. Used power, shed power and loads each have a
    time of their own, because not every reading tells them; a reading wins over a snapshot of the same time. The
    receive time, which makes a VEN online, and the time of its last will move forward in receive time. Values that
    were measured too long before they were received belong to history alone. Records may be applied in any order.
    """

    def __init__(self, silence_limit: timedelta) -> None:
        """`silence_limit` is how old a value may be when it is received."""
        self._silence_limit = silence_limit
        self._latest: dict[str, _Latest] = {}
        self._loads: dict[str, VenLoads] = {}
        self._left: dict[str, datetime] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def update(self, reading: TotalsReading | Reading) -> None:
        """Apply a reading."""
        latest = self._latest.get(reading.ven_id, _UNKNOWN)
        if latest.conflicts_with(reading):
            return
        received_at, measured_at = max(latest.received_at, reading.received_at), reading.corrected_time
        if reading.received_at - measured_at > self._silence_limit:
            self._latest[reading.ven_id] = latest._replace(received_at=received_at)
            return
        _, timestamp, newest_at, digest, used_at, used_kw, shed_at, shed_kw = latest
        if measured_at > newest_at:
            timestamp, newest_at, digest = reading.timestamp, measured_at, reading.digest
        if reading.used_power_kw is not None and measured_at > used_at:
            used_at, used_kw = measured_at, reading.used_power_kw
        if reading.shed_power_kw is not None and measured_at > shed_at:
            shed_at, shed_kw = measured_at, reading.shed_power_kw
        self._latest[reading.ven_id] = _Latest(
            received_at, timestamp, newest_at, digest, used_at, used_kw, shed_at, shed_kw
        )
        if reading.loads is not None:
            self.update_ven_loads(sum_loads(reading, reading.loads, by_reading=True))

    def update_loads(self, snapshot: LoadSnapshot) -> None:
        """Apply a load snapshot; it makes no VEN online."""
        if snapshot.received_at - snapshot.corrected_time <= self._silence_limit:
            self.update_ven_loads(sum_loads(snapshot, snapshot.loads, by_reading=False))

    def update_ven_loads(self, loads: VenLoads) -> None:
        """Apply the sums of a list of loads."""
        known = self._loads.get(loads.ven_id)
        if known is None:
            self._loads[loads.ven_id] = loads
            return
        received_at = max(loads.received_at, known.received_at)
        newer = (loads.measured_at, loads.by_reading) > (known.measured_at, known.by_reading)
        latest = loads if newer else known
        if latest.received_at < received_at:
            latest = msgspec.structs.replace(latest, received_at=received_at)
        self._loads[loads.ven_id] = latest

    def apply_last_will(self, ven_id: str, received_at: datetime) -> None:
        """Apply a last will: the VEN is offline until a later reading."""
        self._left[ven_id] = max(received_at, self._left.get(ven_id, received_at))

    def totals(self, silent_before: datetime, disabled: Container[str] = ()) -> Totals:
        """Add up the VENs that are online; VENs whose last reading is older than `silent_before` are dropped."""
        self._drop_silent(silent_before)
        online = [(latest, self._loads.get(ven_id)) for ven_id, latest in self._online(disabled)]
        loads = [loads for _, loads in online if loads is not None]
        return Totals(
            online_vens=len(online),
            household_usage_kw=sum(ven.used_kw for ven, _ in online),
            current_load_reduction_kw=sum(ven.shed_kw for ven, _ in online),
            controllable_power_kw=sum(ven.controllable_kw for ven in loads),
            potential_load_reduction_kw=sum(ven.potential_kw for ven in loads),
        )

    def load_types(self, disabled: Container[str] = ()) -> dict[str, LoadTypeTotals]:
        """Add up the loads of the online VENs by type."""
        lists = (self._loads.get(ven_id) for ven_id, _ in self._online(disabled))
        return merge_types(loads.types for loads in lists if loads is not None)

    def loads_received_before(self, received_at: datetime) -> Iterable[VenLoads]:
        """Return the loads of VENs that were received before a time."""
        return (loads for loads in self._loads.values() if loads.received_at < received_at)

    def has_loads(self, ven_id: str) -> bool:
        """Whether the loads of a VEN are known."""
        return ven_id in self._loads

    def _online(self, disabled: Container[str]) -> Iterable[tuple[str, _Latest]]:
        return (
            (ven_id, latest)
            for ven_id, latest in self._latest.items()
            if (not self._left or latest.received_at > self._left.get(ven_id, _NEVER)) and ven_id not in disabled
        )

    def _drop_silent(self, since: datetime) -> None:
        for ven_id in [ven_id for ven_id, latest in self._latest.items() if latest.received_at < since]:
            del self._latest[ven_id]
        # Loads are kept longer than readings, because some VENs report them rarely.
        oldest = max(since, _NEVER + LOADS_RETENTION) - LOADS_RETENTION
        for ven_id in self._loads.keys() - self._latest.keys():
            if self._loads[ven_id].received_at < oldest:
                del self._loads[ven_id]
        for ven_id in [ven_id for ven_id, left_at in self._left.items() if left_at < since]:
            del self._left[ven_id]


def sum_loads(
    record: TotalsReading | Reading | LoadSnapshot, loads: Sequence[TotalsLoad] | Sequence[Load], *, by_reading: bool
) -> VenLoads:
    """Add up the loads of one reading or snapshot."""
    sums: dict[str, list[float]] = {}
    controllable = potential = 0.0
    for load in loads:
        drawn, sheds = load.current_power_kw or 0.0, load.shed_capability_kw or 0.0
        potential += sheds
        if sheds > 0:
            controllable += drawn
        kind = OTHER_TYPE if load.type is None or len(load.type) > MAX_TYPE_CHARACTERS else load.type
        known = sums.get(kind)
        if known is None:
            sums[kind] = [load.capacity_kw or 0.0, sheds, drawn]
        else:
            known[0] += load.capacity_kw or 0.0
            known[1] += sheds
            known[2] += drawn
    return VenLoads(
        record.ven_id,
        record.corrected_time,
        by_reading,
        record.received_at,
        controllable_kw=controllable,
        potential_kw=potential,
        types={kind: LoadTypeTotals(*of) for kind, of in sums.items()},
    )


def merge_types(totals_by_type: Iterable[dict[str, LoadTypeTotals]]) -> dict[str, LoadTypeTotals]:
    """Add up totals by type; beyond `MAX_TYPES` the types of least capacity count as `other`."""
    sums: dict[str, list[float]] = {}
    for types in totals_by_type:
        for given, totals in types.items():
            name = given if len(given) <= MAX_TYPE_CHARACTERS else OTHER_TYPE
            known = sums.get(name)
            if known is None:
                known = sums[name] = [0.0, 0.0, 0.0]
            known[0] += totals.total_capacity_kw
            known[1] += totals.total_shed_capability_kw
            known[2] += totals.current_usage_kw
    if len(sums) > MAX_TYPES:
        for name in sorted(sums, key=lambda name: (-sums[name][0], name))[MAX_TYPES - 1 :]:
            few = sums.pop(name)
            rest = sums.setdefault(OTHER_TYPE, [0.0, 0.0, 0.0])
            sums[OTHER_TYPE] = [mine + theirs for mine, theirs in zip(rest, few, strict=True)]
    return {name: LoadTypeTotals(*sums[name]) for name in sorted(sums)}
