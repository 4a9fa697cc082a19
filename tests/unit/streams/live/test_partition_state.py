"""What one partition of the live totals takes in, record by record."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.records.network import MAX_CLOCK_DIFFERENCE, Heartbeat
from schemas.records.telemetry import encode_record
from streams.live.partition_state import PartitionState

MINUTE = timedelta(minutes=1)


class Record(NamedTuple):
    value: bytes


def heartbeat(at: datetime) -> Record:
    return Record(encode_record(Heartbeat(at)))


def test_heartbeat_of_a_fast_clock_counts_as_now() -> None:
    held, now = PartitionState(MINUTE), datetime.now(UTC)
    held.apply_heartbeat(heartbeat(now + MAX_CLOCK_DIFFERENCE / 2))
    assert held.progress.newest is not None
    assert now <= held.progress.newest <= datetime.now(UTC)


def test_heartbeat_of_the_future_is_ignored() -> None:
    held = PartitionState(MINUTE)
    held.apply_heartbeat(heartbeat(datetime.now(UTC) + 2 * MAX_CLOCK_DIFFERENCE))
    assert held.progress.newest is None
