"""The dispatcher starts and ends events on time and writes each command once."""

import asyncio
from typing import Any

import pytest

from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.dr_harness import DrHarness, dr_harness


async def event_row(dr: DrHarness, event_id: str = "evt-1") -> Any:
    return await dr.rows.fetchrow("SELECT * FROM events WHERE event_id = $1", event_id)


async def test_every_online_ven_gets_one_command_with_its_share(dr: DrHarness) -> None:
    for ven_id, can in (("a", 2.0), ("b", 6.0), ("c", None), ("d", 0.0)):
        await dr.reading(ven_id, can)
    await dr.event(kw=8.0)
    for _ in range(3):
        await dr.run_once()
    sent = await dr.published()
    assert [record.ven_id for record in sent] == ["a", "b", "c", "d"]
    # 8 kW over four VENs; the three known ones share 6 kW, and no one weighs more than twice the median of 2 kW.
    assert [record.payload["shed_kw"] for record in sent] == [2.0, 4.0, 2.0, 0.0]
    assert {record.payload["data"]["event_id"] for record in sent} == {"evt-1"}
    end = (await event_row(dr))["end_time"]
    assert {record.ends_at for record in sent} == {record.expires_at for record in sent} == {end}
    found = await dr.shares()
    assert [row["reason"] for row in found.values()] == [
        "proportional",
        "proportional",
        "unknown_capability",
        "nothing_to_shed",
    ]
    assert (await event_row(dr))["started_at"] is not None


async def test_offline_disabled_and_unaddressed_vens_get_no_command(dr: DrHarness) -> None:
    for ven_id in ("gone", "silent", "disabled", "named", "other"):
        await dr.reading(ven_id)
    await dr.rows.execute("UPDATE vens SET status = 'disabled' WHERE ven_id = 'disabled'")
    await dr.rows.execute("UPDATE ven_status SET left_at = now() + interval '1 s' WHERE ven_id = 'gone'")
    await dr.rows.execute("UPDATE ven_status SET reading_received_at = now() - interval '61 s' WHERE ven_id = 'silent'")
    await dr.event(ven_ids=["named", "gone", "silent", "disabled"])
    await dr.run_once()
    assert [record.ven_id for record in await dr.published()] == ["named"]


async def test_future_cancelled_and_past_events_send_nothing(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event("evt-soon", start=60, end=120)
    await dr.event("evt-cancelled", start=60, end=120)
    await dr.event("evt-past", start=-120, end=-60)
    await dr.rows.execute("UPDATE events SET cancelled_at = now() WHERE event_id = 'evt-cancelled'")
    await dr.run_once()
    assert await dr.published() == []
    assert (await event_row(dr, "evt-soon"))["closed_at"] is None
    assert (await event_row(dr, "evt-cancelled"))["closed_at"] is not None
    missed = await event_row(dr, "evt-past")
    assert missed["missed"]
    assert missed["closed_at"] is not None


async def test_a_late_start_keeps_the_end_time(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event(start=-500, end=100)
    await dr.run_once()
    (record,) = await dr.published()
    assert record.ends_at == (await event_row(dr))["end_time"]


@pytest.mark.parametrize("how", ["end", "stop", "delete"])
async def test_the_same_vens_get_one_restore_at_the_end(dr: DrHarness, how: str) -> None:
    await dr.reading("a")
    await dr.reading("b")
    await dr.event(end=100)
    await dr.run_once()
    await dr.reading("c-came-later", 0.0)
    if how == "end":
        await dr.advance(101)
    elif how == "stop":
        await dr.rows.execute("UPDATE events SET ended_at = now()")
    else:
        await dr.rows.execute("UPDATE events SET ended_at = now(), deleted_at = now()")
    for _ in range(3):
        await dr.run_once()
    restores = await dr.commands("restore")
    assert sorted(restores) == ["a", "b"]
    sent = await dr.published()
    assert [(record.ven_id, record.op) for record in sent] == [
        ("a", "event"),
        ("a", "restore"),
        ("b", "event"),
        ("b", "restore"),
    ]
    assert sent[1].payload["event_id"] == "evt-1"
    assert (await event_row(dr))["closed_at"] is not None
    assert not (await event_row(dr))["missed"]


async def test_an_unconfirmed_command_is_withdrawn_and_restored(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event()
    await dr.run_once()
    # As after a crash, or an outage of Kafka: it may have the record all the same.
    await dr.forget_publication()
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    assert [record.op for record in await dr.published()] == ["event", "restore"]
    assert (await dr.commands())["a"]["expired_at"] is not None


async def test_a_command_that_expired_needs_no_restore(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event()
    await dr.run_once()
    await dr.evidence("expired", "a")
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    assert await dr.commands("restore") == {}


async def test_two_dispatchers_write_each_command_once(
    dr: DrHarness, kafka: KafkaSettings, database: DatabaseSettings
) -> None:
    for number in range(20):
        await dr.reading(f"ven-{number:02}")
    await dr.event()
    async with dr_harness(kafka, database) as other:
        for _ in range(3):
            await asyncio.gather(dr.run_once(), other.run_once())
        await dr.rows.execute("UPDATE events SET ended_at = now()")
        for _ in range(3):
            await asyncio.gather(dr.run_once(), other.run_once())
    for phase in ("event", "restore"):
        assert await dr.rows.fetchval("SELECT count(*) FROM commands WHERE phase = $1", phase) == 20
    assert len({(record.ven_id, record.op) for record in await dr.published()}) == len(await dr.published()) == 40
