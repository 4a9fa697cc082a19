"""What one partition of the live totals takes in, record by record."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.records.network import CLOCKS_APART, Beat
from schemas.records.telemetry import encode_record
from streams.live.partition_state import Held

MINUTE = timedelta(minutes=1)


class Record(NamedTuple):
    value: bytes


def beat(at: datetime) -> Record:
    return Record(encode_record(Beat(at)))


def test_a_beat_by_a_clock_that_is_ahead_shows_that_the_pipeline_moves() -> None:
    held, now = Held(MINUTE), datetime.now(UTC)
    held.take_beat(beat(now + CLOCKS_APART / 2))
    assert held.progress.newest is not None
    assert now <= held.progress.newest <= datetime.now(UTC)


def test_a_beat_of_the_future_is_nobodys() -> None:
    held = Held(MINUTE)
    held.take_beat(beat(datetime.now(UTC) + 2 * CLOCKS_APART))
    assert held.progress.newest is None
