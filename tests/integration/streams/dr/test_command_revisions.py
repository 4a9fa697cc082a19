"""Second revisions: a lost event and a missed restore are reissued once if a setting says so."""

import pytest

from tests.support.dr_harness import SHEDS, DrHarness

pytestmark = pytest.mark.usefixtures("active_event")


REISSUE_LOST = pytest.mark.parametrize("dr", [{"event_reissue_lost": True}], ids=["configured"], indirect=True)
RESTORE_AGAIN = pytest.mark.parametrize("dr", [{"event_restore_again": True}], ids=["configured"], indirect=True)


async def restore_revisions(dr: DrHarness) -> list[int]:
    return [record.command_revision for record in await dr.published() if record.op == "restore"]


@REISSUE_LOST
async def test_a_lost_event_is_reissued_once_if_configured(dr: DrHarness) -> None:
    first = (await dr.commands())["a"]
    for _ in range(2):
        await dr.reading("a", **SHEDS)
        await dr.run_once()
        await dr.reading("a")
        for _ in range(2):
            await dr.run_once()
    sent = await dr.published()
    assert len(sent) == 2
    assert sent[0].payload["shed_kw"] == sent[1].payload["shed_kw"]
    second = (await dr.commands())["a"]
    assert (second["command_revision"], second["ends_at"]) == (2, first["ends_at"])
    assert second["correlation_id"] != first["correlation_id"]
    assert second["lost_at"] is not None
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    assert len(await dr.commands("restore")) == 1


@REISSUE_LOST
async def test_a_ven_in_another_event_gets_no_second_revision(dr: DrHarness) -> None:
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    await dr.reading("a", event_id="ui-evt-1", shed_power_kw=1.0)
    await dr.run_once()
    assert (await dr.commands())["a"]["lost_at"] is not None
    assert len(await dr.published()) == 1


@RESTORE_AGAIN
async def test_a_missed_restore_is_reissued_once_if_configured(dr: DrHarness) -> None:
    await dr.shed_until_the_end()
    await dr.evidence("sending", "a", "restore")
    await dr.evidence("sent", "a", "restore")
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    assert await restore_revisions(dr) == [1]
    await dr.advance(31)
    await dr.reading("a", **SHEDS)
    for _ in range(2):
        await dr.run_once()
    assert await restore_revisions(dr) == [1, 2]


@RESTORE_AGAIN
async def test_a_restore_is_not_reissued_after_a_newer_event(dr: DrHarness) -> None:
    await dr.shed_until_the_end()
    await dr.evidence("sent", "a", "restore")
    await dr.advance(31)
    await dr.event("evt-2")
    await dr.reading("a", **SHEDS)
    for _ in range(2):
        await dr.run_once()
    assert await restore_revisions(dr) == [1]


async def test_a_restore_is_not_reissued_by_default(dr: DrHarness) -> None:
    await dr.shed_until_the_end()
    await dr.evidence("sent", "a", "restore")
    await dr.advance(31)
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    assert await restore_revisions(dr) == [1]


async def test_a_disabled_ven_is_restored_and_not_addressed_again(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.rows.execute("UPDATE vens SET status = 'disabled'")
    await dr.run_once()
    await dr.rows.execute("UPDATE vens SET status = 'offline'")
    await dr.reading("a")
    await dr.run_once()
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    for _ in range(2):
        await dr.run_once()
    assert [record.op for record in await dr.published()] == ["event", "restore"]
