"""Commands in `ven.commands`: identity, order, expiry, and a crash before the commit."""

import pytest

from schemas.records.topics import COMMANDS
from tests.support.dr_harness import DrHarness
from tests.support.kafka_records import read_all


async def test_commands_of_one_event_have_distinct_correlation_ids(
    dr: DrHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ven_id in ("a", "b", "c"):
        await dr.reading(ven_id)
    tokens = iter(["00000000", "00000000", "11111111", "11111111", "22222222"] * 2)
    monkeypatch.setattr("schemas.dr.commands.token_hex", lambda _size: next(tokens))
    await dr.event()
    await dr.run_once()
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    assert len({record.correlation_id for record in await dr.published()}) == 6


@pytest.mark.parametrize("late", [False, True], ids=["at the start", "late joiner"])
async def test_a_taken_correlation_id_is_replaced_on_the_next_run(
    dr: DrHarness, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    if late:
        await dr.event()
        await dr.run_once()
    await dr.rows.execute(
        "INSERT INTO commands (correlation_id, ven_id, op, payload, logged_at) "
        "VALUES ('evt-evt-1-00000000', 'x', 'ping', '{}', now())"
    )
    tokens = iter(["00000000", "11111111"])
    monkeypatch.setattr("schemas.dr.commands.token_hex", lambda _size: next(tokens))
    await dr.reading("a")
    if not late:
        await dr.event()
    await dr.run_once()
    assert await dr.published() == []
    await dr.run_once()
    assert [record.correlation_id for record in await dr.published()] == ["evt-evt-1-11111111"]


async def test_a_crash_after_publishing_repeats_the_same_record(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event()
    await dr.run_once()
    await dr.forget_publication()
    await dr.run_once()
    first, second = await dr.published()
    assert first == second


async def test_operators_commands_are_published_in_order_and_expire(dr: DrHarness) -> None:
    await dr.reading("a")
    for number, op in enumerate(("ping", "get", "setLoad")):
        await dr.operator_command(f"c-{number}", "a", op, payload='{"op": "x"}')
    await dr.run_once()
    sent = await dr.published()
    assert [record.op for record in sent] == ["ping", "get", "setLoad"]
    created = await dr.rows.fetchval("SELECT created_at FROM commands WHERE op = 'ping'")
    assert (sent[0].expires_at - created).total_seconds() == 300


async def test_logged_at_is_the_timestamp_of_the_kafka_record(dr: DrHarness) -> None:
    await dr.reading("a")
    await dr.event()
    await dr.run_once()
    command = (await dr.commands())["a"]
    (record,) = await read_all(dr.kafka, dr.kafka.topics(COMMANDS))
    # The bridge may send it before the publisher commits `logged_at`.
    assert command["logged_at"].timestamp() == pytest.approx(record.timestamp / 1000)
    assert command["created_at"] <= command["logged_at"]
