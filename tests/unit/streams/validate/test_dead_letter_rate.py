"""The flood of dead letters, against a list of everything that was counted."""

from math import floor
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from streams.validate.dead_letter_rate import WINDOW_SECONDS, DeadLetterRate

SHARE, LEAST = 0.05, 20


class Counted(NamedTuple):
    at: float
    records: int
    dead_letters: int


@st.composite
def counts(draw: st.DrawFn) -> list[Counted]:
    """What comes at times that do not go back, often at once, sometimes after a long silence."""
    now = draw(st.floats(0, 1e7))
    found = []
    for gap in draw(st.lists(st.sampled_from([0, 0.25, 1, 7.5, 59, 60, 200]) | st.floats(0, 130), max_size=60)):
        now += gap
        records = draw(st.integers(0, 400))
        found.append(Counted(now, records, draw(st.integers(0, records))))
    return found


def within(counted: list[Counted], now: float) -> tuple[int, int]:
    last = [one for one in counted if floor(one.at) > floor(now) - WINDOW_SECONDS]
    return sum(one.records for one in last), sum(one.dead_letters for one in last)


def expected(counted: list[Counted], now: float, most_share: float, least: int) -> tuple[float, bool]:
    records, dead_letters = within(counted, now)
    share = dead_letters / records if records else 0.0
    return share, share > most_share and dead_letters >= least


@given(counts(), st.floats(0, 1), st.integers(1, 1000))
def test_share_equals_a_computation_from_all_counts(counted: list[Counted], most_share: float, least: int) -> None:
    rate = DeadLetterRate(most_share, least)
    for number, one in enumerate(counted, start=1):
        rate.count(one.at, one.records, one.dead_letters)
        assert (rate.share(one.at), rate.is_high(one.at)) == expected(counted[:number], one.at, most_share, least)


@given(counts(), st.lists(st.floats(0, 130), max_size=10))
def test_reading_the_share_changes_nothing(counted: list[Counted], looks: list[float]) -> None:
    rate = DeadLetterRate(SHARE, LEAST)
    for one in counted:
        rate.count(one.at, one.records, one.dead_letters)
    now = counted[-1].at if counted else 0.0
    for gap in looks:
        now += gap
        assert (rate.share(now), rate.is_high(now)) == expected(counted, now, SHARE, LEAST)


@given(counts())
def test_memory_is_limited_to_a_minute(counted: list[Counted]) -> None:
    rate = DeadLetterRate(SHARE, LEAST)
    for one in counted:
        rate.count(one.at, one.records, one.dead_letters)
        assert len(rate._seconds) <= WINDOW_SECONDS


@given(counts())
def test_rate_is_zero_a_minute_after_the_last_record(counted: list[Counted]) -> None:
    rate = DeadLetterRate(0, 1)
    for one in counted:
        rate.count(one.at, one.records, one.dead_letters)
    later = (counted[-1].at if counted else 0) + WINDOW_SECONDS
    assert rate.share(later) == 0
    assert not rate.is_high(later)


def test_rate_is_high_only_above_the_share() -> None:
    rate = DeadLetterRate(SHARE, LEAST)
    rate.count(0, 400, 20)
    assert not rate.is_high(0)
    rate.count(0, 1, 1)
    assert rate.is_high(0)


def test_few_dead_letters_are_not_a_high_rate() -> None:
    rate = DeadLetterRate(SHARE, LEAST)
    rate.count(0, LEAST - 1, LEAST - 1)
    assert rate.share(0) == 1
    assert not rate.is_high(0)
    rate.count(30, 1, 1)
    assert rate.is_high(30)
