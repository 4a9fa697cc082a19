"""When `gateway demo` has an event, and what it says of it."""

import pytest

from gateway.demo.event import DemoEvent
from gateway.fleet import DrLedger
from gateway.reconciliation.dr import DrReconciliation

NOWHERE = "http://127.0.0.1:9"
FUNNEL = {"targeted": 9, "logged": 9, "sent": 9, "acknowledged": 7, "refused": 1, "shedding": 6, "restored": 0}


@pytest.mark.parametrize(("seconds", "lasts"), [(None, 60), (300.0, 60), (60.0, 30), (35.0, 5)])
def test_a_demo_that_is_long_enough_has_an_event_that_ends_before_it(seconds: float | None, lasts: float) -> None:
    event = DemoEvent(NOWHERE, seconds)
    assert event.planned
    assert event.lasts_seconds == lasts
    assert event.words(6.0) == ("begins in 14 s", "-")


@pytest.mark.parametrize("seconds", [8.0, 34.9])
async def test_a_short_demo_has_none_and_says_so(seconds: float) -> None:
    event = DemoEvent(NOWHERE, seconds)
    await event.look(25.0, {"potentialLoadReductionKw": 100.0})
    assert (event.planned, event.failed, event.figures(), event.books(DrLedger())) == (False, False, None, None)
    assert event.words(25.0) == ("none: it begins after 20 s, and needs --seconds 35 or more", "-")
    assert event.came_to(None) == "no DR event: it begins after 20 s, and needs --seconds 35 or more"


async def test_it_is_not_asked_for_before_its_time_nor_where_nothing_can_be_shed() -> None:
    event = DemoEvent(NOWHERE, None)
    await event.look(19.9, {"potentialLoadReductionKw": 100.0})
    for network in (None, {}, {"potentialLoadReductionKw": 0.0}, {"potentialLoadReductionKw": None}):
        await event.look(21.0, network)
    assert (event.failed, event.trouble) == (False, None)


async def test_an_event_that_could_not_be_created_is_told() -> None:
    event = DemoEvent(NOWHERE, None)
    await event.look(21.0, {"potentialLoadReductionKw": 100.0})
    assert event.failed
    assert event.trouble
    assert event.trouble in event.words(21.0)[0]
    assert event.trouble in event.came_to(None)


def test_what_an_event_came_to_is_one_sentence() -> None:
    event = DemoEvent(NOWHERE, None)
    event.detail = {
        "id": "evt-1",
        "status": "active",
        "requestedReductionKw": 1234.5,
        "actualReductionKw": 1000.04,
        "deliveredKwh": None,
        "funnel": FUNNEL,
    }
    stages = "9 targeted, 9 sent, 7 acknowledged, 1 refused, 6 shedding, 0 restored"
    kw = "1,234.5 kW requested, 1,000.0 kW reduced"
    assert event.words(30.0) == (f"evt-1 active: {stages}", kw)
    said = event.came_to(DrReconciliation(told=9, restored=0, repeated=0, untold=0, unrestored=0))
    assert said == (
        f"DR event evt-1, active: {kw}; {stages}; the fleet counts 9 VENs that were told, 0 that were sent a restore, "
        "0 commands too many, "
        "0 VENs not told, 0 not restored"
    )
