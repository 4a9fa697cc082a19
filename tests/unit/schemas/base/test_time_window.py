"""How old, and how far in the future, a measurement may be."""

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.base.time_window import TimeWindow

NOWS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - in UTC by `timezones`
WINDOWS = st.builds(TimeWindow, st.integers(1, 3650), st.timedeltas(timedelta(0), timedelta(days=2)))
TICK = timedelta(microseconds=1)


def reason(window: TimeWindow, measured_at: datetime, now: datetime) -> Reason | None:
    rejection = window.check(measured_at, now)
    return None if rejection is None else rejection.reason


@given(WINDOWS, NOWS)
def test_the_window_ends_exactly_at_its_bounds(window: TimeWindow, now: datetime) -> None:
    newest = now + window.max_future
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    oldest = midnight - timedelta(days=window.retention_days)
    assert reason(window, newest, now) is None
    assert reason(window, newest + TICK, now) is Reason.TOO_NEW
    assert reason(window, oldest, now) is None
    assert reason(window, oldest - TICK, now) is Reason.TOO_OLD
    assert window.first_day(now) == oldest.date()


@given(WINDOWS, NOWS, st.timedeltas(timedelta(days=-4000), timedelta(days=10)))
def test_a_time_is_valid_if_kept_and_not_far_ahead(window: TimeWindow, now: datetime, distance: timedelta) -> None:
    measured_at = now + distance
    if distance > window.max_future:
        expected: Reason | None = Reason.TOO_NEW
    elif (now.date() - measured_at.date()).days > window.retention_days:
        expected = Reason.TOO_OLD
    else:
        expected = None
    assert reason(window, measured_at, now) is expected


@given(WINDOWS, NOWS, st.integers(-840, 840))
def test_the_window_ignores_the_time_zone(window: TimeWindow, now: datetime, minutes: int) -> None:
    there = now.astimezone(timezone(timedelta(minutes=minutes)))
    assert window.first_day(there) == window.first_day(now)
    for measured_at in (
        now,
        now - timedelta(days=window.retention_days),
        now - timedelta(days=window.retention_days + 1),
    ):
        assert window.check(measured_at, there) == window.check(measured_at, now)


def test_the_detail_names_both_times() -> None:
    now = datetime(2025, 3, 10, 12, tzinfo=UTC)
    window = TimeWindow(90, timedelta(minutes=5))
    old = window.check(datetime(1970, 1, 2, tzinfo=UTC), now)
    new = window.check(datetime(2100, 1, 1, tzinfo=UTC), now)
    assert old is not None
    assert new is not None
    assert "1970-01-02T00:00:00+00:00" in old.detail
    assert "2024-12-10T00:00:00+00:00" in old.detail
    assert "2100-01-01T00:00:00+00:00" in new.detail
    assert window.first_day(now) == date(2024, 12, 10)
