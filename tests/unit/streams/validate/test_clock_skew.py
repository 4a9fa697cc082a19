"""Which clock skew is known after which messages."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.validate.clock_skew import AGREE_SECONDS, FRESH_SECONDS, ClockSkews

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def skews_of(messages: Sequence[tuple[float, float]]) -> list[float]:
    """The skew after each message, given as (measured, received) in seconds."""
    clocks = ClockSkews()
    return [
        clocks.observe("ven-1", NOON + timedelta(seconds=measured), NOON + timedelta(seconds=received))
        for measured, received in messages
    ]


def live(first: int, count: int, behind: float, every: float = 5, delay: float = 0.2) -> list[tuple[float, float]]:
    """Messages of a clock that is `behind` seconds late, received as they are measured."""
    return [(i * every - behind, i * every + delay) for i in range(first, first + count)]


def test_a_right_clock_has_no_skew() -> None:
    assert set(skews_of(live(0, 20, 0))) == {0}


def test_a_clock_that_is_ahead_is_known_at_once() -> None:
    assert skews_of(live(0, 3, -240)) == pytest.approx([-239.8] * 3)


@pytest.mark.parametrize(("behind", "every"), [(18_000, 5), (240, 1), (18_000, 900)])
def test_a_clock_behind_is_known_after_three_messages(behind: float, every: float) -> None:
    assert skews_of(live(0, 5, behind, every)) == pytest.approx([0, 0, *[behind + 0.2] * 3])


def test_samples_that_arrive_twice_show_a_clock_behind() -> None:
    twice = [message for message in live(0, 4, 18_000) for _ in range(2)]
    assert skews_of(twice)[-1] == pytest.approx(18_000.2)


@pytest.mark.parametrize(
    ("before", "offset", "skew"),
    [(3600, 5000, 3600), (3600, 0.2, 0), (3600, 60, 60), (0, 5000, 0), (0, -1, 0), (0, -180, -180)],
)
def test_no_retained_message_is_measured_after_receipt(before: float, offset: float, skew: float) -> None:
    clocks = ClockSkews()
    for measured, received in live(0, 5, before, delay=0):
        clocks.observe("ven-1", NOON + timedelta(seconds=measured), NOON + timedelta(seconds=received))
    assert clocks.known("ven-1", NOON, NOON + timedelta(seconds=offset)) == skew


def test_a_backlog_is_no_skew() -> None:
    backlog = [(i * 5.0, 18_000 + i * 0.01) for i in range(3600)]
    assert set(skews_of([*backlog, *live(3600, 3, 0)])) == {0}


def test_a_backlog_leaves_a_known_skew() -> None:
    backlog = [(i * 5.0 - 18_000, 1000 + i * 0.01) for i in range(200)]
    assert skews_of([*live(-10, 5, 18_000), *backlog])[-1] == pytest.approx(18_000.2)


@pytest.mark.parametrize("before", [-240, 240, 18_000, -18_000])
def test_a_corrected_clock_has_no_skew_at_once(before: float) -> None:
    skews = skews_of([*live(0, 10, before), *live(10, 2, 0)])
    assert skews[9] == pytest.approx(before + 0.2)
    assert skews[10:] == [0, 0]


def test_a_clock_set_back_is_known_after_three_messages() -> None:
    assert skews_of([*live(0, 10, 0), *live(10, 3, 3600)])[-1] == pytest.approx(3600.2)


def test_a_clock_that_drifts_is_followed() -> None:
    slow = [(i * 60.0 - 3600 - i * 0.5, i * 60.0) for i in range(500)]
    assert skews_of(slow)[-1] == pytest.approx(3600 + 499 * 0.5, abs=2 * AGREE_SECONDS)


def test_messages_older_than_a_day_are_no_evidence() -> None:
    assert set(skews_of(live(0, 10, 30 * 86_400))) == {0}


def test_messages_of_one_time_are_no_evidence() -> None:
    assert set(skews_of([(0, 3600 + i) for i in range(5)])) == {0}


@given(
    behind=st.floats(-80_000, 80_000),
    delays=st.lists(st.floats(0, AGREE_SECONDS / 2), min_size=4, max_size=40),
    every=st.sampled_from([1, 5, 30, 900]),
)
def test_any_steady_skew_is_known_within_the_delay(behind: float, delays: list[float], every: int) -> None:
    messages = [(i * every - behind, i * every + delay) for i, delay in enumerate(delays)]
    assert skews_of(messages)[-1] == pytest.approx(behind, abs=AGREE_SECONDS + FRESH_SECONDS)


@pytest.mark.parametrize("pace", [0.01, 0.5, 0.7])
def test_a_slow_backlog_is_no_skew(pace: float) -> None:
    backlog = [(i * 5.0, 18_000 + i * 5.0 * pace) for i in range(10)]
    assert set(skews_of(backlog)) == {0}
