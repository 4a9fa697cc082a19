"""Silence counts only in time in which the pipeline moved."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.live.pipeline_progress import TICKS, PipelineProgress

START = datetime(2025, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def after(*seconds: float) -> PipelineProgress:
    progress = PipelineProgress(MINUTE)
    for second in seconds:
        progress.record(at(second))
    return progress


def test_silence_is_elapsed_time_while_the_pipeline_moves() -> None:
    assert after(*range(100)).silent_before() == at(99) - MINUTE


def test_no_ven_is_silent_in_a_new_pipeline() -> None:
    progress = after(*range(50))
    assert not progress.complete
    assert progress.silent_before() < at(-1e6)
    assert PipelineProgress(MINUTE).silent_before() < at(-1e6)


def test_stall_does_not_count_as_silence() -> None:
    before, standstill = range(100), 3600
    progress = after(*before)
    # Nothing comes through, and nothing changes.
    assert progress.silent_before() == at(39)
    # It goes on, and who was heard before has as much time left as when it stood still.
    progress.record(at(99 + standstill))
    assert at(39) <= progress.silent_before() <= at(49)
    for second in range(30):
        progress.record(at(99 + standstill + second))
    assert at(64) <= progress.silent_before() <= at(79)
    for second in range(90):
        progress.record(at(99 + standstill + second))
    assert progress.silent_before() == at(99 + standstill + 89) - MINUTE


def test_pause_shorter_than_a_tick_counts_as_silence() -> None:
    tick = 60 / TICKS
    assert after(*(number * tick for number in range(40))).silent_before() == at(39 * tick) - MINUTE


@given(st.lists(st.integers(0, 400), min_size=1), st.randoms(use_true_random=False))
def test_order_of_records_does_not_matter(seconds: list[int], choose: random.Random) -> None:
    shuffled = [*seconds, *seconds[:3]]
    choose.shuffle(shuffled)
    assert after(*shuffled).silent_before() == after(*seconds).silent_before()


def test_number_of_ticks_is_limited() -> None:
    progress = after(*range(0, 100_000, 7))
    assert len(progress._active) <= 8 * TICKS
    assert progress.silent_before() > at(99_000)


def test_time_before_1970_is_harmless() -> None:
    progress = PipelineProgress(timedelta(seconds=7 * TICKS))
    progress.record(datetime.min.replace(tzinfo=UTC))
    assert not progress.complete
    assert progress.silent_before() < at(-1e6)
