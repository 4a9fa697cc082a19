"""How far a command got, and a VEN in an event: whatever the order in which evidence is heard, and however often."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dr.command_state import GOOD, Steps, event_ven_status, state_of

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
STEPS = tuple(field.name for field in fields(Steps) if field.name != "ack_status")


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


MOMENTS = st.integers(0, 5).map(at)
WORDS = st.sampled_from([*sorted(GOOD), "failed", "rejected", "who knows"])


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    values: dict[str, Any] = {name: draw(st.none() | MOMENTS) for name in STEPS}
    return Steps(**values, ack_status=None if values["acked_at"] is None else draw(WORDS))


EVIDENCE = st.lists(st.tuples(st.sampled_from(STEPS), MOMENTS), max_size=12)


def known(evidence: list[tuple[str, datetime]]) -> Steps:
    """What is known after hearing all of it: of each step the first time."""
    found = Steps()
    for name, moment in evidence:
        before = getattr(found, name)
        earliest: dict[str, Any] = {name: moment if before is None else min(before, moment)}
        found = replace(found, **earliest)
        if name == "acked_at":
            found = replace(found, ack_status="accepted")
    return found


@given(EVIDENCE, st.data())
def test_the_order_of_evidence_and_repeats_change_nothing(
    evidence: list[tuple[str, datetime]], data: st.DataObject
) -> None:
    again = data.draw(
        st.permutations(evidence + data.draw(st.lists(st.sampled_from(evidence)) if evidence else st.just([])))
    )
    assert known(again) == known(evidence)
    assert state_of(known(again)) == state_of(known(evidence))


@given(steps())
def test_what_the_ven_said_wins(known: Steps) -> None:
    state = state_of(known)
    assert (state in {"acknowledged", "refused"}) == (known.acked_at is not None)
    if known.acked_at is not None:
        assert (state == "acknowledged") == (known.ack_status in GOOD)


@given(steps())
def test_a_state_is_never_contradicted_by_a_step(known: Steps) -> None:
    state = state_of(known)
    if state == "expired":
        assert known.expired_at is not None
        assert not known.went_out  # what may have reached the VEN is never shown as never sent
    if state == "unanswered":
        assert known.unanswered_at is not None
    if state == "sent":
        assert known.sent_at is not None or known.reported_at is not None
    if state in {"decided", "logged", "sending"}:
        assert known.acked_at is known.sent_at is known.reported_at is known.unanswered_at is None
    if state in {"decided", "logged"}:
        assert known.sending_at is None
        assert (state == "logged") == (known.logged_at is not None)


@given(steps(), MOMENTS)
def test_an_answer_that_comes_late_still_counts(known: Steps, moment: datetime) -> None:
    late = replace(known, unanswered_at=moment, acked_at=moment, ack_status="accepted")
    assert state_of(late) == "acknowledged"


@given(st.none() | steps(), st.none() | steps())
def test_who_sheds_or_was_restored_is_shown_so_before_all_else(told: Steps | None, restore: Steps | None) -> None:
    assert event_ven_status(told, restore, sheds=True) in {"shedding", "restored"}
    still = event_ven_status(told, restore, sheds=False)
    assert still != "shedding"
    if restore is None:
        assert still != "restored"
    if told is None:
        assert still == "targeted"


@given(steps())
def test_a_ven_is_where_its_command_is_unless_it_has_lost_the_event(told: Steps) -> None:
    status = event_ven_status(told, None, sheds=False)
    if told.lost_at is not None:
        assert status == "lost"
        return
    same = {"acknowledged": "accepted", "decided": "targeted", "logged": "targeted", "sending": "targeted"}
    state = state_of(told)
    assert status == same.get(state, state)


SENT = Steps(logged_at=at(1), sending_at=at(2), sent_at=at(3))
ACCEPTED = replace(SENT, acked_at=at(4), ack_status="accepted")
REFUSED = replace(SENT, acked_at=at(4), ack_status="rejected")
RESTORED = replace(SENT, acked_at=at(9), ack_status="success")


@pytest.mark.parametrize(
    ("told", "restore", "status"),
    [
        (None, None, "targeted"),
        (Steps(), None, "targeted"),
        (SENT, None, "sent"),
        (ACCEPTED, None, "accepted"),
        (ACCEPTED, SENT, "accepted"),
        (ACCEPTED, RESTORED, "restored"),
        (ACCEPTED, replace(SENT, reported_at=at(9)), "restored"),  # silent, but its samples show it
        (REFUSED, RESTORED, "refused"),  # a device that had nothing active answers so, too
        (replace(SENT, unanswered_at=at(60)), RESTORED, "unanswered"),
        (Steps(expired_at=at(60)), None, "expired"),
        (replace(SENT, expired_at=at(60)), None, "sent"),
        (replace(ACCEPTED, lost_at=at(30)), None, "lost"),
    ],
)
def test_how_far_a_ven_got(told: Steps | None, restore: Steps | None, status: str) -> None:
    assert event_ven_status(told, restore, sheds=False) == status
