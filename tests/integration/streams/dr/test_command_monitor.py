"""What acknowledgements, samples and silence show of commands, and what is done about it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.dr_harness import Grid, grid

SHEDS: dict[str, Any] = {"event_id": "evt-1", "shed_power_kw": 2.0}


@pytest_asyncio.fixture
async def world(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Grid]:
    """One home, told of an event."""
    async with grid(kafka, database) as made:
        await told(made)
        yield made


async def told(world: Grid) -> None:
    await world.home("a")
    await world.event()
    await world.step()


async def command(world: Grid, phase: str | None = "event") -> Any:
    return (await world.commands(phase))["a"]


async def shed_until_its_end(world: Grid) -> None:
    """Its restore is handed over, and nothing is known of that yet."""
    await world.evidence("sent", "a")
    await world.home("a", **SHEDS)
    await world.step()
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()


async def attempts(world: Grid) -> list[int]:
    return [one.attempt for one in await world.sent() if one.ven_id == "a"]


async def test_an_ack_answers_its_command_and_the_first_counts(world: Grid) -> None:
    await world.evidence("sending", "a")
    await world.evidence("sent", "a")
    await world.ack("a")
    first = await command(world)
    assert first["ack_status"] == "accepted"
    await world.ack("a", status="failed")
    assert await command(world) == first


async def test_who_refuses_and_then_does_it_has_accepted(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.ack("a", status="failed")
    refused = await command(world)
    assert refused["ack_status"] == "failed"
    await world.ack("a")
    accepted = await command(world)
    assert (accepted["ack_status"], accepted["acked_at"]) == ("accepted", refused["acked_at"])


async def test_an_ack_without_correlation_id_is_known_by_event_and_ven(world: Grid) -> None:
    await world.home("b")
    await world.step()
    await world.evidence("sent", "a")
    await world.evidence("sent", "b")
    await world.ack("a", "", event_id="evt-1", status="rejected")
    assert (await command(world))["ack_status"] == "rejected"
    assert (await world.commands())["b"]["acked_at"] is None
    # Nothing that anybody asked for: stored, and no harm done.
    await world.ack("b", "", event_id="ui-evt-7")
    await world.ack("b", "who-knows")
    assert (await world.commands())["b"]["acked_at"] is None
    assert await world.rows.fetchval("SELECT count(*) FROM ven_acks WHERE ven_id = 'b'") == 2


async def test_an_ack_of_another_ven_answers_nothing(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.ack("stranger", (await command(world))["correlation_id"])
    assert (await command(world))["acked_at"] is None


async def test_samples_show_the_event_and_the_shed(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.home("a", event_id="evt-1", shed_power_kw=0.0)
    await world.step()
    row = await command(world)
    assert row["reported_at"] is not None
    assert row["shed_at"] is None
    await world.home("a", **SHEDS)
    await world.home("a", **SHEDS)
    await world.step()
    again = await command(world)
    times = await world.rows.fetch("SELECT received_at FROM telemetry_readings WHERE shed_power_kw > 0 ORDER BY 1")
    assert (again["reported_at"], again["shed_at"]) == (row["reported_at"], times[0]["received_at"])


async def test_what_was_shown_during_an_outage_is_found_afterwards(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.home("a", **SHEDS)
    await world.home("a")
    await world.step()
    assert (await command(world))["shed_at"] is None
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    await world.later(31)
    await world.step()
    assert (await command(world))["shed_at"] is not None


async def test_a_ven_that_no_longer_reports_its_event_has_lost_it(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.home("a", **SHEDS)
    await world.step()
    await world.home("a")
    await world.step()
    assert (await command(world))["lost_at"] is not None
    assert len(await world.commands()) == len(await world.sent()) == 1


@pytest.mark.parametrize("left", [1, 100])
async def test_what_was_lost_while_nobody_could_look_is_noted_when_it_is_over(world: Grid, left: float) -> None:
    await world.evidence("sent", "a")
    # All of them are stored before the dispatcher looks again.
    await world.home("a", **SHEDS)
    await world.home("a")
    await world.rows.execute("UPDATE commands SET ends_at = now() + $1 * interval '1 s'", float(left))
    await world.rows.execute("UPDATE events SET end_time = now() + $1 * interval '1 s'", float(left))
    for seconds in (left + 1, 31, 121):
        await world.later(seconds)
        await world.home("a")
        await world.step()
    assert (await command(world))["reported_at"] is not None
    assert ((await command(world))["lost_at"] is None) == (left < 5)
    assert not (await command(world))["monitored"]


@pytest.mark.parametrize("left", [4, 100])
async def test_just_before_the_end_nothing_is_lost(world: Grid, left: float) -> None:
    await world.home("a", **SHEDS)
    await world.step()
    await world.rows.execute("UPDATE commands SET ends_at = now() + $1 * interval '1 s'", float(left))
    await world.home("a")
    await world.step()
    assert ((await command(world))["lost_at"] is None) == (left < 5)


async def test_a_late_sample_of_before_says_nothing(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.home("a", **SHEDS)
    await world.step()
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    await world.home("a", timestamp=long_ago)
    await world.step()
    assert (await command(world))["lost_at"] is None


async def test_who_has_lost_it_is_told_once_more_if_a_setting_says_so(
    kafka: KafkaSettings, database: DatabaseSettings
) -> None:
    async with grid(kafka, database, event_reissue_lost=True) as world:
        await told(world)
        first = await command(world)
        for _ in range(2):
            await world.home("a", **SHEDS)
            await world.step()
            await world.home("a")
            for _ in range(2):
                await world.step()
        sent = await world.sent()
        assert len(sent) == 2
        assert sent[0].payload["shed_kw"] == sent[1].payload["shed_kw"]
        second = await command(world)
        assert (second["command_revision"], second["ends_at"]) == (2, first["ends_at"])
        assert second["correlation_id"] != first["correlation_id"]
        assert second["lost_at"] is not None
        await world.rows.execute("UPDATE events SET ended_at = now()")
        await world.step()
        assert len(await world.commands("restore")) == 1


async def test_who_does_something_else_now_is_not_told_again(kafka: KafkaSettings, database: DatabaseSettings) -> None:
    async with grid(kafka, database, event_reissue_lost=True) as world:
        await told(world)
        await world.home("a", **SHEDS)
        await world.step()
        await world.home("a", event_id="ui-evt-1", shed_power_kw=1.0)
        await world.step()
        assert (await command(world))["lost_at"] is not None
        assert len(await world.sent()) == 1


async def open_question(world: Grid) -> None:
    """A crash of the bridge between sending and sent."""
    await world.evidence("sending", "a")
    await world.later(31)


async def test_only_a_sample_that_shows_nothing_has_it_sent_again(world: Grid) -> None:
    await open_question(world)
    await world.step()
    assert await attempts(world) == [1]
    await world.home("a")
    for _ in range(3):
        await world.step()
        await world.home("a")
    assert await attempts(world) == [1, 2]
    assert (await command(world))["correlation_id"] == (await world.sent())[1].correlation_id
    # The second time, too, and what came of the first attempt says nothing of the second.
    await world.evidence("sending", "a", attempt=1)
    assert (await command(world))["sending_at"] is None
    await world.evidence("sending", "a", attempt=2)
    await world.evidence("sent", "a", attempt=2)
    await world.later(31)
    await world.home("a")
    await world.step()
    assert await attempts(world) == [1, 2]


@pytest.mark.parametrize(
    "sample",
    [SHEDS, {"event_id": "evt-1", "shed_power_kw": 0.0}, {"event_id": "evt-77"}, {"shed_power_kw": 1.5}],
    ids=["sheds", "reports", "another event", "sheds without a name"],
)
async def test_whatever_may_be_its_doing_is_not_repeated(world: Grid, sample: dict[str, Any]) -> None:
    await open_question(world)
    await world.home("a", **sample)
    await world.step()
    await world.home("a", **sample)
    await world.step()
    assert await attempts(world) == [1]


async def test_a_sample_from_before_or_soon_after_does_not_count(world: Grid) -> None:
    await world.evidence("sending", "a")
    await world.home("a")
    await world.later(20)
    await world.step()
    await world.home("a", timestamp=datetime.now(UTC) - timedelta(minutes=1), received_at=datetime.now(UTC))
    await world.step()
    assert await attempts(world) == [1]


@pytest.mark.parametrize("evidence", ["ack", "sent"])
async def test_evidence_keeps_it_from_being_repeated(world: Grid, evidence: str) -> None:
    await open_question(world)
    if evidence == "ack":
        await world.ack("a")
    else:
        await world.evidence("sent", "a")
    await world.home("a")
    await world.step()
    assert await attempts(world) == [1]


async def test_evidence_that_comes_while_the_repeat_waits_takes_it_back(world: Grid) -> None:
    await open_question(world)
    await world.home("a")
    await world.monitor.run_once()
    assert (await command(world))["attempt"] == 2
    await world.evidence("sent", "a", attempt=1)
    await world.step()
    assert await attempts(world) == [1]


async def test_a_restore_is_repeated_while_the_event_is_still_reported(world: Grid) -> None:
    await shed_until_its_end(world)
    await world.evidence("sending", "a", "restore")
    await world.later(31)
    await world.home("a", **SHEDS)
    await world.step()
    restores = [one.attempt for one in await world.sent() if one.op == "restore"]
    assert restores == [1, 2]
    await world.evidence("sending", "a", "restore", 2)
    await world.evidence("sent", "a", "restore", 2)
    await world.home("a")
    await world.step()
    assert (await command(world, "restore"))["reported_at"] is not None


async def test_a_ven_that_never_reported_shows_no_restore(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    await world.evidence("sent", "a", "restore")
    await world.home("a")
    await world.step()
    assert (await command(world, "restore"))["reported_at"] is None


async def test_silence_ends_as_unanswered_and_a_late_answer_still_counts(world: Grid) -> None:
    await world.evidence("sending", "a")
    await world.evidence("sent", "a")
    await world.later(45)
    await world.step()
    assert (await command(world))["unanswered_at"] is None
    await world.later(20)
    await world.step()
    assert (await command(world))["unanswered_at"] is not None
    await world.ack("a")
    assert (await command(world))["acked_at"] is not None


async def test_what_nobody_sent_in_time_has_expired(world: Grid) -> None:
    await world.later(606)
    await world.step()
    row = await command(world)
    assert row["expired_at"] is not None
    assert row["unanswered_at"] is None


async def test_what_was_about_to_be_sent_and_expired_has_not_gone_out(world: Grid) -> None:
    await world.evidence("sending", "a")
    await world.evidence("expired", "a")
    row = await command(world)
    assert row["expired_at"] is not None
    assert row["sending_at"] is None
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    assert await world.commands("restore") == {}


async def test_commands_are_let_go_of_when_all_is_known(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.ack("a")
    await world.step()
    assert (await command(world))["monitored"]
    await world.rows.execute("UPDATE events SET ended_at = now()")
    await world.step()
    await world.later(121)
    await world.step()
    assert not (await command(world))["monitored"]


async def restored(world: Grid) -> list[int]:
    return [one.command_revision for one in await world.sent() if one.op == "restore"]


@pytest_asyncio.fixture
async def restoring_again(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Grid]:
    """As `world`, where who still names an event is restored once more."""
    async with grid(kafka, database, event_restore_again=True) as made:
        await told(made)
        yield made


async def test_who_still_names_the_event_after_its_restore_is_restored_once_more_if_a_setting_says_so(
    restoring_again: Grid,
) -> None:
    world = restoring_again
    await shed_until_its_end(world)
    await world.evidence("sending", "a", "restore")
    await world.evidence("sent", "a", "restore")
    await world.home("a", **SHEDS)
    await world.step()
    assert await restored(world) == [1]
    await world.later(31)
    await world.home("a", **SHEDS)
    for _ in range(2):
        await world.step()
    assert await restored(world) == [1, 2]


async def test_who_was_told_something_else_since_is_not_restored_once_more(restoring_again: Grid) -> None:
    world = restoring_again
    await shed_until_its_end(world)
    await world.evidence("sent", "a", "restore")
    await world.later(31)
    await world.event("evt-2")
    await world.home("a", **SHEDS)
    for _ in range(2):
        await world.step()
    assert await restored(world) == [1]


async def test_without_the_setting_a_restore_goes_out_once(world: Grid) -> None:
    await shed_until_its_end(world)
    await world.evidence("sent", "a", "restore")
    await world.later(31)
    await world.home("a", **SHEDS)
    await world.step()
    assert await restored(world) == [1]


async def test_who_is_disabled_leaves_the_event_and_is_not_told_again(world: Grid) -> None:
    await world.evidence("sent", "a")
    await world.rows.execute("UPDATE vens SET status = 'disabled'")
    await world.step()
    await world.rows.execute("UPDATE vens SET status = 'offline'")
    await world.home("a")
    await world.step()
    await world.rows.execute("UPDATE events SET ended_at = now()")
    for _ in range(2):
        await world.step()
    assert [one.op for one in await world.sent()] == ["event", "restore"]


async def test_a_sample_that_was_held_up_on_its_way_is_no_proof(world: Grid) -> None:
    """Measured before the command could have arrived, received long after."""
    before = datetime.now(UTC)
    await world.evidence("sending", "a")
    await world.later(31)
    held_up = before - timedelta(seconds=30)
    await world.home("a", timestamp=held_up, received_at=datetime.now(UTC))
    await world.step()
    assert await attempts(world) == [1]
    await world.home("a")
    await world.step()
    await world.step()
    assert await attempts(world) == [1, 2]
