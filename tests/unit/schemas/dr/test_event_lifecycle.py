"""The life of a DR event: whatever happens and whenever it is looked at, it starts at most once and is closed once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dr.event_lifecycle import EventAction, EventTimes, next_action

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


# What may happen to an event that is to last from 100 to 200, and when.
MOMENTS = st.lists(
    st.tuples(st.floats(0, 400), st.sampled_from(["look", "stop", "delete"])), min_size=1, max_size=12
).map(sorted)


def stop(event: EventTimes, now: datetime) -> EventTimes:
    """As the API does."""
    if event.cancelled_at or event.deleted_at or event.over_at <= now:
        return event
    return replace(event, cancelled_at=now) if event.start_time > now else replace(event, ended_at=now)


def delete(event: EventTimes, now: datetime) -> EventTimes:
    if event.deleted_at:
        return event
    active = not event.cancelled_at and event.start_time <= now < event.over_at
    return replace(event, deleted_at=now, ended_at=now if active else event.ended_at)


@given(moments=MOMENTS)
def test_an_event_starts_and_ends_once(moments: list[tuple[float, str]]) -> None:
    event, started, closed = EventTimes(at(100), at(200)), [], []
    for second, what in [*moments, (500.0, "look"), (501.0, "look")]:
        now = at(second)
        if what == "stop":
            event = stop(event, now)
        elif what == "delete":
            event = delete(event, now)
        step = next_action(event, now)
        if step is EventAction.START:
            assert event.start_time <= now < event.over_at
            assert not event.deleted_at
            assert not event.cancelled_at
            started.append(now)
            event = replace(event, started_at=now)
        elif step is not EventAction.WAIT:
            assert (step is EventAction.END) == bool(started)
            closed.append(step)
            event = replace(event, closed_at=now)
    assert len(started) <= 1
    assert len(closed) == 1
    # Nobody touched it and nobody looked while it lasted: that has to show.
    untouched = all(what == "look" for _, what in moments)
    looked = any(100 <= second < 200 for second, _ in moments)
    if untouched:
        assert closed == [EventAction.END if looked else EventAction.MISS]


@pytest.mark.parametrize(
    ("second", "expected"),
    [(99.9, EventAction.WAIT), (100, EventAction.START), (199.9, EventAction.START), (200, EventAction.MISS)],
)
def test_an_event_starts_between_its_times_or_is_missed(second: float, expected: EventAction) -> None:
    assert next_action(EventTimes(at(100), at(200)), at(second)) is expected


def test_an_event_stopped_before_its_start_is_not_missed() -> None:
    assert next_action(EventTimes(at(100), at(200), ended_at=at(101)), at(150)) is EventAction.DROP
    assert next_action(EventTimes(at(100), at(200), cancelled_at=at(50)), at(60)) is EventAction.DROP
