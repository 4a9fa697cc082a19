"""Baselines: the known answers, selection of days, adjustment, and what is too little data."""

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.performance.baseline import Baseline, BaselineFlag, DayMeans, VenHistory, compute_baseline
from schemas.performance.day_kinds import DayKind, HolidayCalendar
from schemas.performance.day_selection import Exclusion, IntervalMeans, candidate_days
from schemas.performance.presets import METHODS, BaselinePreset
from schemas.performance.reduction import energy_kwh, reductions

AVERAGE, HIGH_5, HIGH_4 = BaselinePreset.AVG_10_OF_10, BaselinePreset.HIGH_5_OF_10, BaselinePreset.HIGH_4_OF_5
THURSDAY = date(2026, 7, 16)
NO_HOLIDAYS = HolidayCalendar()
INTERVALS = 4


def days_before(day: date, count: int, kinds: set[int]) -> list[date]:
    """Return the last `count` dates before `day` whose weekday is one of `kinds`, the latest first."""
    before = (day - timedelta(days=back) for back in range(1, 100))
    return [other for other in before if other.weekday() in kinds][:count]


WEEKDAYS = days_before(THURSDAY, 31, {0, 1, 2, 3, 4})


def like_days(levels: Mapping[date, float]) -> dict[date, DayMeans]:
    return {day: DayMeans([kw] * INTERVALS, [kw] * 3) for day, kw in levels.items()}


def baseline(
    preset: BaselinePreset,
    levels: Mapping[date, float],
    *,
    window: IntervalMeans = (100.0, 100.0, 100.0),
    event_days: set[date] | None = None,
    hour_before_kw: float | None = 42.0,
    day: date = THURSDAY,
    calendar: HolidayCalendar = NO_HOLIDAYS,
) -> Baseline:
    method = METHODS.get(preset)
    candidates = [] if method is None else candidate_days(method, day, calendar)[0]
    history = VenHistory(like_days(levels), event_days or set(), window, hour_before_kw)
    return compute_baseline(preset, calendar.kind(day), candidates, history, INTERVALS)


@pytest.mark.parametrize(
    ("level", "window", "factor", "kw", "flags"),
    [
        (100.0, 110.0, 1.1, 110.0, ()),
        (100.0, 1000.0, 1.2, 120.0, ()),
        (100.0, 1.0, 0.8, 80.0, ()),
        (100.0, None, 1.0, 100.0, (BaselineFlag.NOT_ADJUSTED,)),
    ],
)
def test_known_answers_of_five_like_days(
    level: float, window: float | None, factor: float, kw: float, flags: tuple[BaselineFlag, ...]
) -> None:
    result = baseline(AVERAGE, dict.fromkeys(WEEKDAYS[:5], level), window=[window] * 3)
    assert result.adjustment.factor == pytest.approx(factor)
    assert result.kw == pytest.approx([kw] * INTERVALS)
    assert result.flags == flags
    assert result.unadjusted_kw == [level] * INTERVALS


def test_a_window_of_zero_on_the_selected_days_leaves_the_baseline() -> None:
    days = {day: DayMeans([100.0] * INTERVALS, [0.0] * 3) for day in WEEKDAYS[:5]}
    candidates, _ = candidate_days(METHODS[AVERAGE], THURSDAY, NO_HOLIDAYS)
    history = VenHistory(days, set(), [100.0] * 3, 42.0)
    result = compute_baseline(AVERAGE, DayKind.WEEKDAY, candidates, history, INTERVALS)
    assert (result.kw, result.adjustment.factor, result.flags) == ([100.0] * 4, 1.0, (BaselineFlag.NOT_ADJUSTED,))


def test_a_reduction_of_50_kw_for_two_hours_is_100_kwh() -> None:
    reduced = reductions([110.0] * 8, [60.0] * 8)
    assert reduced == [50.0] * 8
    assert energy_kwh(reduced, [0.25] * 8) == 100.0


def test_an_average_takes_the_last_ten_weekdays() -> None:
    result = baseline(AVERAGE, {day: 100.0 + number for number, day in enumerate(WEEKDAYS[:15])})
    assert result.selection.days == tuple(WEEKDAYS[:10])
    assert result.unadjusted_kw == pytest.approx([104.5] * INTERVALS)


def test_the_highest_days_are_selected() -> None:
    levels = dict(zip(WEEKDAYS[:11], [10.0, 90.0, 20.0, 80.0, 30.0, 70.0, 40.0, 60.0, 50.0, 55.0, 999.0], strict=True))
    result = baseline(HIGH_5, levels, window=[71.0] * 3)
    assert sorted(levels[day] for day in result.selection.days) == [55.0, 60.0, 70.0, 80.0, 90.0]
    assert result.selection.excluded[WEEKDAYS[0]] is Exclusion.LOWER_USE
    assert result.kw == pytest.approx([71.0] * INTERVALS)


def test_a_day_below_a_quarter_of_the_average_is_replaced_by_the_next() -> None:
    levels = dict(zip(WEEKDAYS[:6], [100.0, 1.0, 100.0, 100.0, 100.0, 60.0], strict=True))
    result = baseline(HIGH_4, levels, window=[90.0] * 3)
    assert result.selection.excluded[WEEKDAYS[1]] is Exclusion.LOW_USE
    assert result.selection.excluded[WEEKDAYS[5]] is Exclusion.LOWER_USE
    assert result.adjustment.added_kw == pytest.approx(-10.0)
    assert result.kw == pytest.approx([90.0] * INTERVALS)


@pytest.mark.parametrize(("preset", "days"), [(AVERAGE, 4), (HIGH_5, 4), (HIGH_4, 3)])
def test_too_few_days_fall_back_to_the_hour_before(preset: BaselinePreset, days: int) -> None:
    result = baseline(preset, dict.fromkeys(WEEKDAYS[:days], 100.0))
    assert (result.preset, result.kw) == (BaselinePreset.METER_BEFORE, [42.0] * INTERVALS)
    assert result.flags == (BaselineFlag.INSUFFICIENT_HISTORY,)
    assert baseline(preset, dict.fromkeys(WEEKDAYS[: days + 1], 100.0)).preset is preset


def test_without_any_sample_there_is_no_baseline() -> None:
    result = baseline(BaselinePreset.METER_BEFORE, {}, hour_before_kw=None)
    assert (result.kw, result.flags) == ([None] * INTERVALS, (BaselineFlag.NO_DATA,))


def test_days_of_events_and_days_without_data_are_never_selected() -> None:
    levels = dict.fromkeys(WEEKDAYS[:12], 100.0)
    events = set(WEEKDAYS[:31:2])
    result = baseline(AVERAGE, levels, event_days=events)
    assert result.selection.days == tuple(WEEKDAYS[1:12:2])
    assert {result.selection.excluded[day] for day in events} == {Exclusion.EVENT_DAY}
    assert result.selection.excluded[WEEKDAYS[13]] is Exclusion.MISSING_DATA


def test_a_season_dense_with_events_falls_back() -> None:
    result = baseline(AVERAGE, dict.fromkeys(WEEKDAYS, 100.0), event_days=set(WEEKDAYS[4:]))
    assert result.flags == (BaselineFlag.INSUFFICIENT_HISTORY,)


def test_a_day_needs_nine_tenths_of_its_intervals() -> None:
    days = {day: DayMeans([100.0] * 20, [100.0] * 3) for day in WEEKDAYS[:10]}
    days[WEEKDAYS[0]] = DayMeans([None] * 2 + [200.0] * 18, [100.0] * 3)
    days[WEEKDAYS[1]] = DayMeans([None] * 3 + [200.0] * 17, [100.0] * 3)
    candidates, _ = candidate_days(METHODS[AVERAGE], THURSDAY, NO_HOLIDAYS)
    history = VenHistory(days, set(), [100.0] * 3, 42.0)
    result = compute_baseline(AVERAGE, DayKind.WEEKDAY, candidates, history, 20)
    assert WEEKDAYS[0] in result.selection.days
    assert result.selection.excluded[WEEKDAYS[1]] is Exclusion.MISSING_DATA
    assert result.unadjusted_kw == pytest.approx([100.0] * 2 + [1000 / 9] * 18)


@pytest.mark.parametrize(
    ("preset", "weekdays", "count"),
    [(AVERAGE, {5, 6}, 4), (HIGH_5, {5, 6}, 3), (HIGH_4, {5}, 2)],
    ids=str,
)
def test_weekends_are_compared_with_weekends(preset: BaselinePreset, weekdays: set[int], count: int) -> None:
    saturday = date(2026, 7, 18)
    levels = {saturday - timedelta(days=back): 1000.0 - back for back in range(1, 46)}
    days = baseline(preset, levels, day=saturday).selection.days
    assert list(days) == days_before(saturday, count, weekdays)


def test_holidays_are_no_weekdays() -> None:
    calendar = HolidayCalendar("US-CA", [date(2026, 7, 14)])
    result = baseline(AVERAGE, dict.fromkeys(WEEKDAYS, 100.0), calendar=calendar)
    # 3 July 2026 is the observed Independence Day.
    assert not {date(2026, 7, 3), date(2026, 7, 14)} & set(result.selection.days)
    assert calendar.kind(date(2026, 7, 4)) is DayKind.HOLIDAY
    sunday_like = candidate_days(METHODS[HIGH_4], date(2026, 7, 19), calendar)[0]
    assert {date(2026, 7, 14), date(2026, 7, 12)} <= set(sunday_like)


def test_an_unknown_calendar_is_refused() -> None:
    for code in ("XX", "US-XX"):
        with pytest.raises(ValueError, match="no calendar"):
            HolidayCalendar(code)


kilowatts = st.floats(-20, 200)
histories = st.dictionaries(
    st.sampled_from(WEEKDAYS),
    st.builds(
        DayMeans,
        st.lists(st.none() | kilowatts, min_size=INTERVALS, max_size=INTERVALS),
        st.lists(st.none() | kilowatts, min_size=3, max_size=3),
    ),
)
PROPERTIES = {
    "days": histories,
    "event_days": st.sets(st.sampled_from(WEEKDAYS)),
    "window": st.lists(st.none() | kilowatts, min_size=3, max_size=3),
    "preset": st.sampled_from(BaselinePreset),
}


@given(**PROPERTIES)
def test_rules_that_hold_for_any_history(
    days: dict[date, DayMeans], event_days: set[date], window: IntervalMeans, preset: BaselinePreset
) -> None:
    method = METHODS.get(preset)
    candidates = [] if method is None else candidate_days(method, THURSDAY, NO_HOLIDAYS)[0]
    result = compute_baseline(preset, DayKind.WEEKDAY, candidates, VenHistory(days, event_days, window, 5.0), INTERVALS)
    selection = result.selection
    assert not set(selection.days) & event_days
    assert not set(selection.days) & selection.excluded.keys()
    if method is None or result.preset is BaselinePreset.METER_BEFORE:
        assert result.kw == [5.0] * INTERVALS
        return
    assert method.weekdays.minimum <= len(selection.days) <= method.weekdays.chosen
    low, high = method.adjustment.ratio or (1.0, 1.0)
    assert low <= result.adjustment.factor <= high
    for number, kw in enumerate(result.unadjusted_kw):
        known = [mean for day in selection.days if (mean := days[day].event[number]) is not None]
        assert (kw is None) == (not known)
        assert kw is None or min(known) - 1e-9 <= kw <= max(known) + 1e-9


@given(**PROPERTIES, claimed=st.floats(0, 1e6))
def test_what_happens_in_the_event_never_changes_the_baseline(
    days: dict[date, DayMeans],
    event_days: set[date],
    window: IntervalMeans,
    preset: BaselinePreset,
    claimed: float,
) -> None:
    changed = days | {THURSDAY: DayMeans([claimed] * INTERVALS, [claimed] * 3)}
    method = METHODS.get(preset)
    candidates = [] if method is None else candidate_days(method, THURSDAY, NO_HOLIDAYS)[0]
    one, other = (
        compute_baseline(preset, DayKind.WEEKDAY, candidates, VenHistory(given, event_days, window, 5.0), INTERVALS)
        for given in (days, changed)
    )
    assert one == other
