"""The words of acks: good, a refusal, or neither."""

from itertools import permutations

import pytest

from tests.support.dr_harness import DrHarness

STATE = "SELECT command_state(c) FROM commands AS c WHERE ven_id = $1 AND phase = 'event'"
PROGRESS = "SELECT status FROM event_ven_progress(ARRAY['evt-1']) WHERE ven_id = $1"
GOOD = ("accepted", "accept", "ok", "success", "succeeded", "completed", "done")
REFUSED = ("rejected", "refused", "failed", "error", "declined", "denied", "optout", "opt_out")

pytestmark = pytest.mark.usefixtures("active_event")


async def test_words_are_good_refusals_or_neither_in_any_case(dr: DrHarness) -> None:
    expected = dict.fromkeys(GOOD, True) | dict.fromkeys(REFUSED, False) | dict.fromkeys(["queued", "", "okay"])
    for word, good in expected.items():
        for spelling in (word, word.upper(), word.title()):
            assert await dr.rows.fetchval("SELECT is_good_ack($1)", spelling) is good
    assert await dr.rows.fetchval("SELECT is_good_ack(NULL)") is None


async def test_other_word_answers_but_neither_accepts_nor_refuses(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.ack("a", status="queued")
    assert await dr.rows.fetchval(STATE, "a") == await dr.rows.fetchval(PROGRESS, "a") == "sent"
    await dr.advance(120)
    await dr.run_once()
    row = (await dr.commands())["a"]
    assert (row["ack_status"], row["unanswered_at"]) == ("queued", None)


@pytest.mark.parametrize("words", list(permutations(["queued", "failed", "done"])))
async def test_good_word_counts_before_a_refusal_in_any_order(dr: DrHarness, words: tuple[str, ...]) -> None:
    await dr.evidence("sent", "a")
    seen: list[str] = []
    for word in words:
        await dr.ack("a", status=word)
        seen.append(word)
        best = next(word for word in ("done", "failed", "queued") if word in seen)
        assert (await dr.commands())["a"]["ack_status"] == best
    assert await dr.rows.fetchval(STATE, "a") == "acknowledged"


async def test_other_word_without_a_command_is_no_refusal(dr: DrHarness) -> None:
    await dr.ack("b", "", event_id="evt-1", status="queued")
    assert await dr.rows.fetchval(PROGRESS, "b") == "targeted"
    await dr.ack("b", "", event_id="evt-1", status="declined", op="shedPanel")
    assert await dr.rows.fetchval(PROGRESS, "b") == "refused"
