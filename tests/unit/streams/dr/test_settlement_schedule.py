"""When events are settled: soon, and again at some times after the end, however seldom anybody looks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dr.settlement_schedule import AGAIN_AFTER, is_due

END = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("figured", "now", "due"),
    [
        (None, 0.4, False),
        (None, 0.5, True),
        (None, 100_000, True),
        # What waited for a worker that was killed.
        (0.5, 0.9, False),
        (0.5, 1, True),
        (1, 9, False),
        (0, 10, True),
        (9, 10, True),
        (10, 11, False),
        (10, 60, True),
        (60, 1439, False),
        (61, 1440, True),
        (0, 100_000, True),  # nobody looked for long
        (1440, 100_000, False),
        (1500, 100_000, False),
    ],
)
def test_an_event_is_settled_again_after_a_while(figured: float | None, now: float, *, due: bool) -> None:
    assert is_due(END, None if figured is None else END + figured * MINUTE, END + now * MINUTE) is due


@given(st.lists(st.integers(0, 3000), min_size=1).map(sorted))
def test_however_often_one_looks_it_is_settled_no_more_than_it_has_to_be(looks: list[int]) -> None:
    figured: datetime | None = None
    times = 0
    for look in looks:
        now = END + look * MINUTE
        if is_due(END, figured, now):
            figured, times = now, times + 1
    assert times <= 1 + len(AGAIN_AFTER)
    if looks[-1] == 0:
        return
    assert figured is not None
    # What was known of at the last look is in it, but for samples that came since the last time due.
    last = END + looks[-1] * MINUTE
    assert all(figured >= END + after for after in AGAIN_AFTER if END + after <= last)
