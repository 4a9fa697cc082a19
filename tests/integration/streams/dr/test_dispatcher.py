"""The dispatcher on real servers: who is told, of what, once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from schemas.records.topics import COMMANDS
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.dr.event_store import LOCK, candidates
from tests.support.dr_harness import Grid, grid
from tests.support.kafka_records import read_all


@pytest_asyncio.fixture
async def world(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Grid]:
    async with grid(kafka, database) as made:
        yield made


async def event_row(world: Grid, event_id: str = "evt-1") -> Any:
    return await world.rows.fetchrow("SELECT * FROM events WHERE event_id = $1", event_id)


async def shares(world: Grid, event_id: str = "evt-1") -> dict[str, Any]:
    rows = await world.rows.fetch("SELECT * FROM event_vens WHERE event_id = $1 ORDER BY ven_id", event_id)
    return {row["ven_id"]: row for row in rows}


async def test_every_online_ven_is_told_its_share_once(world: Grid) -> None:
    for ven_id, can in (("a", 2.0), ("b", 6.0), ("c", None), ("d", 0.0)):
        await world.home(ven_id, can)
    await world.event(kw=8.0)
    for _ in range(3):
        await world.step()
    sent = await world.sent()
    assert [one.ven_id for one in sent] == ["a", "b", "c", "d"]
    # Of 8 kW over four, three known: 6 kW over 8 kW that they can.
    assert [one.payload["shed_kw"] for one in sent] == [1.5, 4.5, 2.0, 0.0]
    assert {one.payload["data"]["event_id"] for one in sent} == {"evt-1"}
    end = (await event_row(world))["end_time"]
    assert {one.ends_at for one in sent} == {one.expires_at for one in sent} == {end}
    found = await shares(world)
    assert [row["reason"] for row in found.values()] == [
        "proportional",
        "proportional",
        "unknown_capability",
        "nothing_to_shed",
    ]
    assert (await event_row(world))["started_at"] is not None


async def test_who_is_offline_disabled_or_not_named_is_not_told(world: Grid) -> None:
    for ven_id in ("gone", "silent", "disabled", "named", "other"):
        await world.home(ven_id)
    await world.rows.execute("UPDATE vens SET status = 'disabled' WHERE ven_id = 'disabled'")
    await world.rows.execute("UPDATE ven_status SET left_at = now() + interval '1 s' WHERE ven_id = 'gone'")
    await world.rows.execute(
        "UPDATE ven_status SET reading_received_at = now() - interval '61 s' WHERE ven_id = 'silent'"
    )
    await world.event(ven_ids=["named", "gone", "silent", "disabled"])
    await world.step()
    assert [one.ven_id for one in await world.sent()] == ["named"]


async def test_nothing_is_sent_before_its_time_nor_after_it(world: Grid) -> None:
    await world.home("a")
    await world.event("evt-soon", start=60, end=120)
    await world.event("evt-cancelled", start=60, end=120)
    await world.event("evt-past", start=-120, end=-60)
    await world.rows.execute("UPDATE events SET cancelled_at = now() WHERE event_id = 'evt-cancelled'")
    await world.step()
    assert await world.sent() == []
    assert (await event_row(world, "evt-soon"))["closed_at"] is None
    assert (await event_row(world, "evt-cancelled"))["closed_at"] is not None
    missed = await event_row(world, "evt-past")
    assert missed["missed"]
    assert missed["closed_at"] is not None


async def test_a_late_start_tells_what_is_left(world: Grid) -> None:
    await world.home("a")
    await world.event(start=-500, end=100)
    await world.step()
    (one,) = await world.sent()
    assert one.ends_at == (await event_row(world))["end_time"]


@pytest.mark.parametrize("how", ["end", "stop", "delete"])
async def test_at_the_end_the_same_vens_are_restored_once(world: Grid, how: str) -> None:
    await world.home("a")
    await world.home("b")
    await world.event(end=100)
    await world.step()
    await world.home("c-came-later", 0.0)
    if how == "end":
        await world.later(101)
    elif how == "stop":
        await world.rows.execute("UPDATE events SET ended_at = now()")
    else:
        await world.rows.execute("UPDATE events SET ended_at = now(), deleted_at = now()")
    for _ in range(3):
        await world.step()
    restores = await world.commands("restore")
    assert sorted(restores) == ["a", "b"]
    sent = await world.sent()
    assert [(one.ven_id, one.op) for one in sent] == [
        ("a", "event"),
        ("a", "restore"),
        ("b", "event"),
        ("b", "restore"),
    ]
    assert sent[1].payload["event_id"] == "evt-1"
    assert (await event_row(world))["closed_at"] is not None
    assert not (await event_row(world))["missed"]


async def test_what_the_log_is_not_known_to_have_is_withdrawn_and_restored_all_the_same(world: Grid) -> None:
    await world.home("a")
    await world.event()
    await world.step()
    # As after a crash, or an outage of the log, which takes later on what it did not confirm.
    await world.forget_publication()
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    assert [one.op for one in await world.sent()] == ["event", "restore"]
    assert (await world.commands())["a"]["expired_at"] is not None


async def test_who_comes_when_the_fleet_is_freed_is_asked_for_no_more_than_its_part(world: Grid) -> None:
    fleet = [f"ven-{number}" for number in range(10)]
    for ven_id in fleet:
        await world.home(ven_id, 4.0)
    await world.event("evt-first", end=100)
    await world.step()
    await world.event("evt-second", kw=5.0)
    await world.step()
    await world.rows.execute("UPDATE events SET ended_at = now() WHERE event_id = 'evt-first'")
    await world.step()
    asked = [row["share_kw"] for row in (await shares(world, "evt-second")).values()]
    assert asked == [0.5] * 10


async def test_the_end_of_an_event_leaves_those_alone_that_are_in_another_since(world: Grid) -> None:
    await world.home("a")
    await world.home("b")
    await world.event("evt-first", end=100)
    await world.step()
    # As REST does where an operator restores it; it is then free for another event.
    await world.rows.execute("UPDATE commands SET ends_at = now() WHERE ven_id = 'a'")
    await world.event("evt-second", kw=4.0)
    await world.step()
    await world.rows.execute("UPDATE events SET ended_at = now() WHERE event_id = 'evt-first'")
    await world.step()
    sent = [(one.ven_id, one.op, one.event_id) for one in await world.sent()]
    assert sent[:2] == [("a", "event", "evt-first"), ("a", "event", "evt-second")]
    assert ("b", "restore", "evt-first") in sent
    assert ("a", "restore", "evt-first") not in sent


async def test_a_ven_is_not_free_before_its_restore_is_decided(world: Grid) -> None:
    await world.home("a")
    await world.event("evt-first", end=100)
    await world.step()
    # Its time is over, and the dispatcher has not seen that yet.
    await world.rows.execute("UPDATE events SET end_time = now() WHERE event_id = 'evt-first'")
    await world.rows.execute("UPDATE commands SET ends_at = now()")
    await world.event("evt-second")
    row = await world.rows.fetchrow(LOCK, "evt-second")
    (candidate,) = await candidates(world.rows, row, 60.0)
    assert candidate["busy_with"] == "evt-first"
    await world.step()
    of_a = [(one.op, one.event_id) for one in await world.sent()]
    assert of_a == [("event", "evt-first"), ("restore", "evt-first"), ("event", "evt-second")]


async def test_commands_of_one_event_never_share_a_correlation_id(world: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    for ven_id in ("a", "b", "c"):
        await world.home(ven_id)
    tokens = iter(["00000000", "00000000", "11111111", "11111111", "22222222"] * 2)
    monkeypatch.setattr("schemas.dr.commands.token_hex", lambda _size: next(tokens))
    await world.event()
    await world.step()
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    assert len({one.correlation_id for one in await world.sent()}) == 6


async def test_a_late_joiner_whose_correlation_id_was_given_before_is_told_at_the_next_look(
    world: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.event()
    await world.step()
    await world.rows.execute(
        "INSERT INTO commands (correlation_id, ven_id, op, payload, logged_at) "
        "VALUES ('evt-evt-1-00000000', 'x', 'ping', '{}', now())"
    )
    tokens = iter(["00000000", "11111111"])
    monkeypatch.setattr("schemas.dr.commands.token_hex", lambda _size: next(tokens))
    await world.home("a")
    await world.step()
    assert await world.sent() == []
    await world.step()
    assert [one.correlation_id for one in await world.sent()] == ["evt-evt-1-11111111"]


async def test_what_expired_in_the_bridge_needs_no_restore(world: Grid) -> None:
    await world.home("a")
    await world.event()
    await world.step()
    await world.evidence("expired", "a")
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    assert await world.commands("restore") == {}


async def test_a_late_joiner_is_told_and_nobody_elses_share_changes(world: Grid) -> None:
    await world.home("a", 10.0)
    await world.event(kw=6.0)
    await world.step()
    await world.home("b", 5.0)
    await world.home("c", None)
    for _ in range(2):
        await world.step()
    # Of 6 kW over three, two known: 4 kW over 15 kW that they can.
    assert {one.ven_id: one.payload["shed_kw"] for one in await world.sent()} == {"a": 6.0, "b": 1.333333, "c": 2.0}
    found = await shares(world)
    assert [row["late"] for row in found.values()] == [False, True, True]
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    assert sorted(await world.commands("restore")) == ["a", "b", "c"]


async def test_a_ven_is_in_one_event_at_a_time_and_free_for_the_next_when_that_ends(world: Grid) -> None:
    await world.home("a")
    await world.home("b")
    await world.event("evt-first", ven_ids=["a"], end=100)
    await world.step()
    await world.event("evt-second", kw=4.0)
    await world.step()
    assert sorted(row["ven_id"] for row in await world.rows.fetch(OF, "evt-second")) == ["b"]
    second = await shares(world, "evt-second")
    assert (second["a"]["share_kw"], second["a"]["reason"]) == (None, "busy with evt-first")
    assert second["b"]["share_kw"] == 4.0
    # The restore of the first comes before the command of the second.
    await world.rows.execute("UPDATE events SET ended_at = now() WHERE event_id = 'evt-first'")
    await world.step()
    of_a = [(one.op, one.event_id) for one in await world.sent() if one.ven_id == "a"]
    assert of_a == [("event", "evt-first"), ("restore", "evt-first"), ("event", "evt-second")]
    assert (await shares(world, "evt-second"))["a"]["late"]


OF = "SELECT ven_id FROM commands WHERE event_id = $1"


async def test_a_ven_that_an_operator_told_to_shed_is_busy(world: Grid) -> None:
    await world.home("a")
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    await world.operator_command("c-1", "a", "event", event_id="evt-own", ends_at=in_an_hour)
    await world.event()
    await world.step()
    assert [one.event_id for one in await world.sent()] == ["evt-own"]
    assert (await shares(world))["a"]["reason"] == "busy with evt-own"


async def test_dispatchers_at_the_same_time_decide_once(
    world: Grid, kafka: KafkaSettings, database: DatabaseSettings
) -> None:
    for number in range(20):
        await world.home(f"ven-{number:02}")
    await world.event()
    async with grid(kafka, database) as other:
        for _ in range(3):
            await asyncio.gather(world.step(), other.step())
        await world.rows.execute("UPDATE events SET ended_at = now()")
        for _ in range(3):
            await asyncio.gather(world.step(), other.step())
    for phase in ("event", "restore"):
        assert await world.rows.fetchval("SELECT count(*) FROM commands WHERE phase = $1", phase) == 20
    assert len({(one.ven_id, one.op) for one in await world.sent()}) == len(await world.sent()) == 40


async def test_a_crash_after_handing_over_hands_over_the_same_again(world: Grid) -> None:
    await world.home("a")
    await world.event()
    await world.step()
    await world.forget_publication()
    await world.step()
    first, second = await world.sent()
    assert first == second


async def test_operators_commands_go_out_in_order_and_expire(world: Grid) -> None:
    await world.home("a")
    for number, op in enumerate(("ping", "get", "setLoad")):
        await world.operator_command(f"c-{number}", "a", op, payload='{"op": "x"}')
    await world.step()
    sent = await world.sent()
    assert [one.op for one in sent] == ["ping", "get", "setLoad"]
    created = await world.rows.fetchval("SELECT created_at FROM commands WHERE op = 'ping'")
    assert (sent[0].expires_at - created).total_seconds() == 300


async def test_a_correlation_id_that_was_given_before_is_made_anew(
    world: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.home("a")
    await world.rows.execute(
        "INSERT INTO commands (correlation_id, ven_id, op, payload, logged_at) "
        "VALUES ('evt-evt-1-00000000', 'x', 'ping', '{}', now())"
    )
    tokens = iter(["00000000", "11111111"])
    monkeypatch.setattr("schemas.dr.commands.token_hex", lambda _size: next(tokens))
    await world.event()
    await world.step()
    assert await world.sent() == []
    await world.step()
    assert [one.correlation_id for one in await world.sent()] == ["evt-evt-1-11111111"]


async def test_a_command_is_in_the_log_since_the_log_has_it(world: Grid) -> None:
    await world.home("a")
    await world.event()
    await world.step()
    command = (await world.commands())["a"]
    (record,) = await read_all(world.kafka, world.kafka.topics(COMMANDS))
    # The bridge may be at work on it before the dispatcher has noted that.
    assert command["logged_at"].timestamp() == pytest.approx(record.timestamp / 1000)
    assert command["created_at"] <= command["logged_at"]
