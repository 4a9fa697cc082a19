"""Intervals by the wall clock: clock changes in both directions, half-hour zones, cut edges."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from schemas.performance.intervals import IntervalClock, WallClock, slot_begin, slot_of

NEW_YORK, KOLKATA, LORD_HOWE = (ZoneInfo(name) for name in ("America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"))
HOUR = timedelta(hours=1)


def begins(clock: IntervalClock, wall_clock: WallClock, day: date) -> list[str]:
    return [slot_begin(slot).strftime("%H:%M") for slot in clock.slots(wall_clock, day)]


def test_an_event_is_cut_at_local_hours_in_a_half_hour_zone() -> None:
    clock, begin = IntervalClock(KOLKATA, 60), datetime(2026, 7, 16, 11, 30, tzinfo=UTC)
    intervals = clock.cut(begin, begin + 2 * HOUR, date(2026, 7, 16))
    assert [(interval.wall_clock, interval.begin, interval.hours) for interval in intervals] == [
        (WallClock(0, 17 * 60), begin, 1.0),
        (WallClock(0, 18 * 60), begin + HOUR, 1.0),
    ]
    assert begins(clock, WallClock(0, 17 * 60), date(2026, 7, 15))[::6] == ["11:30", "12:00"]


def test_only_whole_minutes_of_an_event_count() -> None:
    begin = datetime(2026, 7, 16, 12, 3, 20, tzinfo=UTC)
    clock = IntervalClock(ZoneInfo("UTC"), 15)
    intervals = clock.cut(begin, begin + timedelta(minutes=14), date(2026, 7, 16))
    assert [(i.begin.strftime("%H:%M"), i.end.strftime("%H:%M")) for i in intervals] == [
        ("12:04", "12:15"),
        ("12:15", "12:17"),
    ]
    assert clock.whole(intervals) == []
    assert clock.cut(begin, begin + timedelta(seconds=90), date(2026, 7, 16)) == []


def test_the_hour_that_does_not_exist_has_no_slots() -> None:
    clock = IntervalClock(NEW_YORK, 60)
    assert begins(clock, WallClock(0, 2 * 60), date(2026, 3, 8)) == []
    assert len(begins(clock, WallClock(0, 3 * 60), date(2026, 3, 8))) == 12
    begin = datetime(2026, 3, 8, 6, tzinfo=UTC)  # 01:00 in New York
    cut = clock.cut(begin, begin + 2 * HOUR, date(2026, 3, 8))
    assert [interval.wall_clock for interval in cut] == [WallClock(0, 60), WallClock(0, 180)]


def test_both_of_the_hour_that_exists_twice_count() -> None:
    clock = IntervalClock(NEW_YORK, 60)
    assert sorted(begins(clock, WallClock(0, 60), date(2026, 11, 1)))[::12] == ["05:00", "06:00"]
    assert len(clock.slots(WallClock(0, 60), date(2026, 11, 1))) == 24
    begin = datetime(2026, 11, 1, 5, tzinfo=UTC)  # 01:00 in New York, for the first time
    cut = clock.cut(begin, begin + 3 * HOUR, date(2026, 11, 1))
    assert [interval.wall_clock for interval in cut] == [WallClock(0, 60), WallClock(0, 60), WallClock(0, 120)]
    assert [interval.hours for interval in cut] == [1.0, 1.0, 1.0]


def test_a_clock_change_of_half_an_hour() -> None:
    clock = IntervalClock(LORD_HOWE, 15)
    assert begins(clock, WallClock(0, 2 * 60), date(2026, 10, 4)) == []
    assert len(begins(clock, WallClock(0, 2 * 60 + 30), date(2026, 10, 4))) == 3
    assert len(begins(clock, WallClock(0, 60 + 45), date(2026, 4, 5))) == 6


def test_a_clock_change_shifts_no_interval() -> None:
    clock = IntervalClock(NEW_YORK, 15)
    for day, hour in ((date(2026, 3, 7), "22:00"), (date(2026, 3, 8), "21:00")):
        assert begins(clock, WallClock(0, 17 * 60), day)[0] == hour


def test_an_event_over_midnight_keeps_the_date_of_its_start() -> None:
    clock, begin = IntervalClock(ZoneInfo("UTC"), 60), datetime(2026, 7, 16, 23, tzinfo=UTC)
    cut = clock.cut(begin, begin + 2 * HOUR, date(2026, 7, 16))
    assert [interval.wall_clock for interval in cut] == [WallClock(0, 23 * 60), WallClock(1, 0)]
    assert clock.slots(WallClock(1, 0), date(2026, 7, 14))[0] == slot_of(datetime(2026, 7, 15, tzinfo=UTC))


@given(
    begin=st.integers(1_577_836_800, 1_893_456_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    length=st.timedeltas(timedelta(0), timedelta(hours=30)),
    zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    minutes=st.sampled_from([5, 15, 60]),
)
def test_intervals_cover_the_whole_minutes_of_an_event_once(
    begin: datetime, length: timedelta, zone: str, minutes: int
) -> None:
    clock = IntervalClock(ZoneInfo(zone), minutes)
    day = clock.local_date(begin)
    cut = clock.cut(begin, begin + length, day)
    for one, following in itertools.pairwise(cut):
        assert one.end == following.begin
    if cut:
        assert begin <= cut[0].begin < begin + timedelta(minutes=1)
        assert begin + length - timedelta(minutes=1) < cut[-1].end <= begin + length
    else:
        assert length < timedelta(minutes=2)
    for interval in clock.whole(cut):
        slots = clock.slots(interval.wall_clock, day)
        assert {slot_of(interval.begin), slot_of(interval.end - timedelta(seconds=1))} <= set(slots)


def test_a_slot_is_five_minutes() -> None:
    assert slot_begin(slot_of(datetime(2026, 7, 16, 12, 4, 59, tzinfo=UTC))) == datetime(2026, 7, 16, 12, tzinfo=UTC)
