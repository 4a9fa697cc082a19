"""When `gateway demo` creates its DR event, and how it describes it."""

import pytest

from gateway.demo.event import DemoEvent
from gateway.fleet import DrLedger
from gateway.reconciliation.dr import DrReconciliation

NOWHERE = "http://127.0.0.1:9"
FUNNEL = {"targeted": 9, "logged": 9, "sent": 9, "acknowledged": 7, "refused": 1, "shedding": 6, "restored": 0}


@pytest.mark.parametrize(("seconds", "duration"), [(None, 60), (300.0, 60), (60.0, 30), (35.0, 5)])
def test_event_ends_before_the_demo(seconds: float | None, duration: float) -> None:
    event = DemoEvent(NOWHERE, seconds)
    assert event.planned
    assert event.duration_seconds == duration
    assert event.progress(6.0) == ("starts in 14 s", "-")


@pytest.mark.parametrize("seconds", [8.0, 34.9])
async def test_short_demo_has_no_event_and_says_why(seconds: float) -> None:
    event = DemoEvent(NOWHERE, seconds)
    await event.poll(25.0, {"potentialLoadReductionKw": 100.0})
    assert (event.planned, event.failed, event.as_dict(), event.reconcile(DrLedger())) == (False, False, None, None)
    assert event.progress(25.0) == ("none: it starts after 20 s and needs --seconds 35 or more", "-")
    assert event.summary(None) == "No DR event: it starts after 20 s and needs --seconds 35 or more."


async def test_no_request_before_its_time_or_without_sheddable_power() -> None:
    event = DemoEvent(NOWHERE, None)
    await event.poll(19.9, {"potentialLoadReductionKw": 100.0})
    for network in (None, {}, {"potentialLoadReductionKw": 0.0}, {"potentialLoadReductionKw": None}):
        await event.poll(21.0, network)
    assert (event.failed, event.error) == (False, None)


async def test_failed_creation_is_reported() -> None:
    event = DemoEvent(NOWHERE, None)
    await event.poll(21.0, {"potentialLoadReductionKw": 100.0})
    assert event.failed
    assert event.error
    assert event.error in event.progress(21.0)[0]
    assert event.error in event.summary(None)


def test_summary_names_funnel_reduction_and_commands() -> None:
    event = DemoEvent(NOWHERE, None)
    event.detail = {
        "id": "evt-1",
        "status": "active",
        "requestedReductionKw": 1234.5,
        "actualReductionKw": 1000.04,
        "deliveredKwh": None,
        "funnel": FUNNEL,
    }
    funnel = "9 targeted, 9 sent, 7 acknowledged, 1 refused, 6 shedding, 0 restored"
    reduction = "1,234.5 kW requested, 1,000.0 kW reduced"
    assert event.progress(30.0) == (f"evt-1 active: {funnel}", reduction)
    summary = event.summary(DrReconciliation(commanded=9, restored=0, repeated=0, missed=0, unrestored=0))
    assert summary == (
        f"DR event evt-1 (active): {reduction}; {funnel}.\nThe fleet received: event command at 9 VENs, restore at 0; "
        "0 commands repeated, 0 VENs missed, 0 not restored."
    )
