"""How far a VEN got in an event, by what is known of its commands."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.dr.command_state import EventVenStatus, Steps, event_ven_status

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
SENT = Steps(logged_at=AT, sending_at=AT, sent_at=AT)
ACCEPTED = replace(SENT, acked_at=AT, ack_status="accepted")
REPORTED = replace(ACCEPTED, reported_at=AT, shed_at=AT)
LOST = replace(REPORTED, lost_at=AT + timedelta(seconds=9))
REFUSED = replace(SENT, acked_at=AT, ack_status="rejected")
UNANSWERED = replace(SENT, unanswered_at=AT)
DONE = replace(SENT, acked_at=AT, ack_status="success")


@pytest.mark.parametrize(
    ("told", "restore", "status"),
    [
        (None, None, "targeted"),
        (SENT, None, "sent"),
        (ACCEPTED, None, "accepted"),
        (REPORTED, SENT, "accepted"),
        (REPORTED, DONE, "restored"),
        (LOST, None, "lost"),
        # A device answers a restore with success, also when nothing was active.
        (LOST, DONE, "lost"),
        (REFUSED, DONE, "refused"),
        (UNANSWERED, UNANSWERED, "unanswered"),
    ],
)
def test_how_far_a_ven_got(told: Steps | None, restore: Steps | None, status: EventVenStatus) -> None:
    assert event_ven_status(told, restore, sheds=False) == status


@pytest.mark.parametrize("told", [None, SENT, REPORTED, LOST])
def test_who_sheds_for_it_is_shown_so_until_it_is_restored(told: Steps | None) -> None:
    assert event_ven_status(told, None, sheds=True) == "shedding"
