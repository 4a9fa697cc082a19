"""Acks and elapsed time: which command an ack answers, and when a command is unanswered or expired."""

import pytest

from tests.support.dr_harness import DrHarness

pytestmark = pytest.mark.usefixtures("active_event")


async def test_the_first_good_ack_of_a_command_counts(dr: DrHarness) -> None:
    await dr.evidence("sending", "a")
    await dr.evidence("sent", "a")
    await dr.ack("a")
    first = (await dr.commands())["a"]
    assert first["ack_status"] == "accepted"
    await dr.ack("a", status="failed")
    assert (await dr.commands())["a"] == first


async def test_a_good_ack_after_a_refusal_counts_as_accepted(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.ack("a", status="failed")
    refused = (await dr.commands())["a"]
    assert refused["ack_status"] == "failed"
    await dr.ack("a")
    accepted = (await dr.commands())["a"]
    assert (accepted["ack_status"], accepted["acked_at"]) == ("accepted", refused["acked_at"])


async def test_an_ack_without_correlation_id_matches_event_and_ven(dr: DrHarness) -> None:
    await dr.reading("b")
    await dr.run_once()
    await dr.evidence("sent", "a")
    await dr.evidence("sent", "b")
    await dr.ack("a", "", event_id="evt-1", status="rejected")
    assert (await dr.commands())["a"]["ack_status"] == "rejected"
    assert (await dr.commands())["b"]["acked_at"] is None
    # Acks of unknown commands are stored and answer nothing.
    await dr.ack("b", "", event_id="ui-evt-7")
    await dr.ack("b", "who-knows")
    assert (await dr.commands())["b"]["acked_at"] is None
    assert await dr.rows.fetchval("SELECT count(*) FROM ven_acks WHERE ven_id = 'b'") == 2


async def test_an_ack_of_another_ven_is_ignored(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.ack("stranger", (await dr.commands())["a"]["correlation_id"])
    assert (await dr.commands())["a"]["acked_at"] is None


async def test_no_ack_means_unanswered_and_a_late_ack_still_counts(dr: DrHarness) -> None:
    await dr.evidence("sending", "a")
    await dr.evidence("sent", "a")
    await dr.advance(45)
    await dr.run_once()
    assert (await dr.commands())["a"]["unanswered_at"] is None
    await dr.advance(20)
    await dr.run_once()
    assert (await dr.commands())["a"]["unanswered_at"] is not None
    await dr.ack("a")
    assert (await dr.commands())["a"]["acked_at"] is not None


async def test_a_command_that_is_never_sent_expires(dr: DrHarness) -> None:
    await dr.advance(606)
    await dr.run_once()
    row = (await dr.commands())["a"]
    assert row["expired_at"] is not None
    assert row["unanswered_at"] is None


async def test_a_command_that_expires_while_sending_was_not_sent(dr: DrHarness) -> None:
    await dr.evidence("sending", "a")
    await dr.evidence("expired", "a")
    row = (await dr.commands())["a"]
    assert row["expired_at"] is not None
    assert row["sending_at"] is None
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    assert await dr.commands("restore") == {}


async def test_a_finished_command_is_no_longer_monitored(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.ack("a")
    await dr.run_once()
    assert (await dr.commands())["a"]["monitored"]
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    await dr.advance(121)
    await dr.run_once()
    assert not (await dr.commands())["a"]["monitored"]
