"""VENs that are in another event, and VENs that join late."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.records.telemetry import Load
from streams.dr.event_store import LOCK, candidates
from tests.support.dr_harness import DrHarness

ADDRESSED = "SELECT ven_id FROM commands WHERE event_id = $1"


async def test_vens_freed_together_share_the_request(dr: DrHarness) -> None:
    fleet = [f"ven-{number}" for number in range(10)]
    for ven_id in fleet:
        await dr.reading(ven_id, 4.0)
    await dr.event("evt-first", end=100)
    await dr.run_once()
    await dr.event("evt-second", kw=5.0)
    await dr.run_once()
    await dr.rows.execute("UPDATE events SET ended_at = now() WHERE event_id = 'evt-first'")
    await dr.run_once()
    asked = [row["share_kw"] for row in (await dr.shares("evt-second")).values()]
    assert asked == [0.5] * 10


async def test_an_end_does_not_restore_vens_in_a_newer_event(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.reading("b")
    await dr.event("evt-first", end=100)
    await dr.run_once()
    # As when an operator restores the VEN: it is free for another event.
    await dr.rows.execute("UPDATE commands SET ends_at = now() WHERE ven_id = 'a'")
    await dr.event("evt-second", kw=4.0)
    await dr.run_once()
    await dr.rows.execute("UPDATE events SET ended_at = now() WHERE event_id = 'evt-first'")
    await dr.run_once()
    sent = [(record.ven_id, record.op, record.event_id) for record in await dr.published()]
    assert sent[:2] == [("a", "event", "evt-first"), ("a", "event", "evt-second")]
    assert ("b", "restore", "evt-first") in sent
    assert ("a", "restore", "evt-first") not in sent


async def test_a_ven_is_busy_until_its_restore_is_decided(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event("evt-first", end=100)
    await dr.run_once()
    # The event is over, and the dispatcher has not run yet.
    await dr.rows.execute("UPDATE events SET end_time = now() WHERE event_id = 'evt-first'")
    await dr.rows.execute("UPDATE commands SET ends_at = now()")
    await dr.event("evt-second")
    row = await dr.rows.fetchrow(LOCK, "evt-second")
    (candidate,) = await candidates(dr.rows, row, 60.0, 50.0)
    assert candidate["busy_with"] == "evt-first"
    await dr.run_once()
    of_a = [(record.op, record.event_id) for record in await dr.published()]
    assert of_a == [("event", "evt-first"), ("restore", "evt-first"), ("event", "evt-second")]


async def test_a_late_joiner_changes_no_other_share(dr: DrHarness) -> None:
    await dr.reading("a", 10.0)
    await dr.event(kw=6.0)
    await dr.run_once()
    await dr.reading("b", 5.0)
    await dr.reading("c", None)
    for _ in range(2):
        await dr.run_once()
    # 6 kW over three VENs; the two known ones share 4 kW by their 15 kW of shed capability.
    assert {record.ven_id: record.payload["shed_kw"] for record in await dr.published()} == {
        "a": 6.0,
        "b": 1.333333,
        "c": 2.0,
    }
    found = await dr.shares()
    assert [row["late"] for row in found.values()] == [False, True, True]
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    assert sorted(await dr.commands("restore")) == ["a", "b", "c"]


async def test_a_ven_is_in_one_event_at_a_time(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.reading("b")
    await dr.event("evt-first", ven_ids=["a"], end=100)
    await dr.run_once()
    await dr.event("evt-second", kw=4.0)
    await dr.run_once()
    assert sorted(row["ven_id"] for row in await dr.rows.fetch(ADDRESSED, "evt-second")) == ["b"]
    second = await dr.shares("evt-second")
    assert (second["a"]["share_kw"], second["a"]["reason"]) == (None, "busy with evt-first")
    assert second["b"]["share_kw"] == 4.0
    # The VEN gets the restore of the first event before the command of the second.
    await dr.rows.execute("UPDATE events SET ended_at = now() WHERE event_id = 'evt-first'")
    await dr.run_once()
    of_a = [(record.op, record.event_id) for record in await dr.published() if record.ven_id == "a"]
    assert of_a == [("event", "evt-first"), ("restore", "evt-first"), ("event", "evt-second")]
    assert (await dr.shares("evt-second"))["a"]["late"]


async def test_an_operators_shed_makes_a_ven_busy(dr: DrHarness) -> None:
    await dr.reading("a")
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    await dr.operator_command("c-1", "a", "event", event_id="evt-own", ends_at=in_an_hour)
    await dr.event()
    await dr.run_once()
    assert [record.event_id for record in await dr.published()] == ["evt-own"]
    assert (await dr.shares())["a"]["reason"] == "busy with evt-own"


async def test_back_to_back_events_ask_for_what_is_shed_already(dr: DrHarness) -> None:
    """A load of 3 kW sheds 2 for the first event; 1 kW is left, and 3 can be shed for the second."""
    load = Load("hvac", capacity_kw=3.0, current_power_kw=3.0, shed_capability_kw=3.0)
    await dr.reading("a", loads=(load,))
    await dr.event("evt-first", kw=2.0, end=100)
    await dr.run_once()
    less = Load("hvac", capacity_kw=3.0, current_power_kw=1.0, shed_capability_kw=1.0)
    await dr.reading("a", loads=(less,), event_id="evt-first", shed_power_kw=2.0)
    await dr.event("evt-second", kw=3.0)
    await dr.rows.execute("UPDATE events SET end_time = now() WHERE event_id = 'evt-first'")
    await dr.run_once()
    sent = [(record.op, record.event_id, record.payload.get("shed_kw")) for record in await dr.published()]
    assert sent == [("event", "evt-first", 2.0), ("restore", "evt-first", None), ("event", "evt-second", 3.0)]
    assert (await dr.shares("evt-second"))["a"]["capability_kw"] == 3.0


async def test_what_is_shed_at_the_device_itself_is_not_available(dr: DrHarness) -> None:
    load = Load("hvac", capacity_kw=3.0, current_power_kw=1.0, shed_capability_kw=1.0)
    await dr.reading("a", loads=(load,), event_id="ui-evt-7", shed_power_kw=2.0)
    await dr.event(kw=3.0)
    await dr.run_once()
    assert (await dr.shares())["a"]["capability_kw"] == 1.0


@pytest.mark.parametrize(
    ("load", "capability"),
    [
        (Load("x", current_power_kw=1.0, shed_capability_kw=1e9), 1.0),
        (Load("x", capacity_kw=2.0, shed_capability_kw=1e9), 2.0),
        (Load("x", current_power_kw=-3.0, shed_capability_kw=2.0), 0.0),
        (Load("x", shed_capability_kw=1e9), 50.0),
        (Load("x", shed_capability_kw=-2.0), 0.0),
        (Load("x", current_power_kw=4.0, shed_capability_kw=1.5), 1.5),
        (Load("x", shed_capability_kw=1.5, enabled=False), 0.0),
    ],
    ids=["above power", "above capacity", "producing", "above MAX_VEN_SHED_KW", "negative", "plausible", "disabled"],
)
async def test_a_capability_is_bounded_by_what_is_plausible(dr: DrHarness, load: Load, capability: float) -> None:
    await dr.reading("a", loads=(load,))
    await dr.event(kw=100.0)
    await dr.run_once()
    assert (await dr.shares())["a"]["capability_kw"] == capability


async def test_a_home_that_claims_too_much_leaves_the_others_their_shares(dr: DrHarness) -> None:
    for number in range(10):
        await dr.reading(f"home-{number}", 2.0)
    await dr.reading("liar", 1e9)
    await dr.event(kw=10.0)
    await dr.run_once()
    shares = {ven_id: row["share_kw"] for ven_id, row in (await dr.shares()).items()}
    assert shares.pop("liar") == pytest.approx(10 * 2 / 12, abs=1e-5)
    assert list(shares.values()) == pytest.approx([10 / 12] * 10, abs=1e-5)
