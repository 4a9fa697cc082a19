"""VENs that are in another event, and VENs that join late."""

from datetime import UTC, datetime, timedelta

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
    (candidate,) = await candidates(dr.rows, row, 60.0)
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
