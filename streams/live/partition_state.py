"""The state of one Kafka partition in the role `live`: the latest values of its VENs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.parsing.status import OFFLINE, decode_status
from schemas.records.network import (
    MAX_CLOCK_DIFFERENCE,
    Partial,
    VenLoads,
    decode_heartbeat,
    decode_totals_reading,
    decode_ven_loads,
)
from schemas.records.telemetry import decode_snapshot
from streams.engine.batch import Record
from streams.live.aggregation import PartitionTotals
from streams.live.pipeline_progress import PipelineProgress

_CHECKPOINT_SHARE = 0.5
"""Loads are checkpointed at this share of the silence limit, before a state restore would miss them."""


class PartitionState:
    """The state of one partition. Records may be applied in any order and repeatedly."""

    def __init__(self, offline_after: timedelta) -> None:
        self.totals = PartitionTotals(offline_after)
        self.progress = PipelineProgress(offline_after)
        self._disabled: set[str] = set()
        # The offset of the last record of each VEN in ven.disabled: records before it change nothing.
        self._disabled_offsets: dict[str, int] = {}
        # When the loads were measured that live.loads has of each VEN.
        self._checkpoints: dict[str, datetime] = {}

    def apply_reading(self, record: Record) -> None:
        """Apply a record of ven.telemetry; it also shows that the pipeline moves."""
        reading = _cap_receive_time(decode_totals_reading(record.value or b""))
        self.totals.update(reading)
        self.progress.record(reading.received_at)

    def apply_snapshot(self, record: Record) -> None:
        """Apply a record of ven.loads."""
        self.totals.update_loads(_cap_receive_time(decode_snapshot(record.value or b"")))

    def apply_status(self, record: Record) -> None:
        """Apply a record of ven.status."""
        status = _cap_receive_time(decode_status(record.value or b""))
        if status.status == OFFLINE:
            self.totals.apply_last_will(status.ven_id, status.received_at)

    def apply_heartbeat(self, record: Record) -> None:
        """Apply a record of pipeline.heartbeats."""
        heartbeat = decode_heartbeat(record.value or b"")
        now = datetime.now(UTC)
        # A worker's clock may be a little ahead; without its heartbeats no VEN would ever be silent.
        if heartbeat.at <= now + MAX_CLOCK_DIFFERENCE:
            self.progress.record(min(heartbeat.at, now))

    def apply_disabled(self, record: Record) -> None:
        """Apply a record of ven.disabled; a tombstone enables the VEN again."""
        ven_id = (record.key or b"").decode()
        if record.offset >= self._disabled_offsets.get(ven_id, -1):
            self._disabled_offsets[ven_id] = record.offset
            if record.value:
                self._disabled.add(ven_id)
            else:
                self._disabled.discard(ven_id)

    def apply_checkpoint(self, record: Record) -> None:
        """Apply a record of live.loads, the loads that an earlier worker checkpointed."""
        if record.value:
            loads = _cap_receive_time(decode_ven_loads(record.value))
            self.totals.update_ven_loads(loads)
            self._checkpoints[loads.ven_id] = loads.measured_at

    def partial(self, number: int) -> Partial:
        """Return the totals of the partition, whose number is given."""
        totals = self.totals.totals(self.progress.silent_before(), self._disabled)
        return Partial(number, self.progress.newest, totals, self.totals.load_types(self._disabled))

    def due_checkpoints(self) -> list[tuple[str, VenLoads | None]]:
        """Return the loads to write to live.loads, by VEN id; None deletes the checkpoint."""
        gone: list[tuple[str, VenLoads | None]] = [
            (ven_id, None) for ven_id in self._checkpoints if not self.totals.has_loads(ven_id)
        ]
        for ven_id, _ in gone:
            del self._checkpoints[ven_id]
        old = self.totals.loads_received_before(self.progress.silent_before(_CHECKPOINT_SHARE))
        due = [loads for loads in old if self._checkpoints.get(loads.ven_id) != loads.measured_at]
        self._checkpoints.update((loads.ven_id, loads.measured_at) for loads in due)
        return gone + [(loads.ven_id, loads) for loads in due]


def _cap_receive_time(record: Any) -> Any:
    """Limit the receive time to now: other writers may send future times, which would keep a VEN online for ever."""
    now = datetime.now(UTC)
    return record if record.received_at <= now else msgspec.structs.replace(record, received_at=now)
