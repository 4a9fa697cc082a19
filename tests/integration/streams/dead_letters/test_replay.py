"""The way back of dead letters: replayed, they go the way of any message, and the index tells what became of them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from schemas.mqtt.routing import Kind
from schemas.records import topics
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.kafka_records import read_all
from tests.support.pipeline import Pipeline
from tests.support.pipeline import pipeline as open_pipeline

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR_AGO = NOW - timedelta(hours=1)
RECEIVED = HOUR_AGO + timedelta(milliseconds=1234)


@pytest_asyncio.fixture
async def pipeline(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Pipeline]:
    async with open_pipeline(kafka, database) as opened:
        yield opened


def sample(**fields: Any) -> bytes:
    return msgspec.json.encode({"venId": "ven-1", "timestamp": HOUR_AGO.isoformat(), "usedPowerKw": 1.0, **fields})


BAD = sample(usedPowerKw="much")


async def letter(pipeline: Pipeline) -> dict[str, Any]:
    (found,) = await pipeline.index()
    return found


async def again(pipeline: Pipeline, corrected_payload: bytes | None = None) -> tuple[str, str | None]:
    """Replay the one letter; returns what became of it."""
    await pipeline.request((await letter(pipeline))["id"], corrected_payload)
    assert (await letter(pipeline))["state"] == "requested"
    assert await pipeline.replay() == 1
    assert (await letter(pipeline))["state"] == "sent"
    await pipeline.settle()
    found = await letter(pipeline)
    assert await pipeline.replay() == await pipeline.rows.fetchval("SELECT count(*) FROM outbox") == 0
    return found["state"], found["state_detail"]


async def powers(pipeline: Pipeline) -> list[float]:
    return [row["used_power_kw"] for row in await pipeline.rows.fetch("SELECT used_power_kw FROM telemetry_readings")]


async def pairs(pipeline: Pipeline, select: str) -> dict[str, Any]:
    return {row[0]: row[1] for row in await pipeline.rows.fetch(select)}


async def test_a_corrected_dead_letter_is_stored_once(pipeline: Pipeline) -> None:
    await pipeline.receive(RECEIVED, BAD)
    assert await powers(pipeline) == []
    assert await again(pipeline, sample(usedPowerKw=2.0)) == ("stored", None)
    assert await powers(pipeline) == [2.0]
    assert await again(pipeline, sample(usedPowerKw=3.0)) == ("already_stored", None)
    assert await powers(pipeline) == [2.0]
    found = await letter(pipeline)
    assert (found["replays"], found["payload"], found["corrected_payload"]) == (2, BAD, sample(usedPowerKw=3.0))


async def test_a_replay_rejected_again_makes_no_new_dead_letter(pipeline: Pipeline) -> None:
    await pipeline.receive(RECEIVED, BAD)
    state, detail = await again(pipeline)
    assert state == "rejected"
    assert (detail or "").startswith("bad_value: ")
    state, detail = await again(pipeline, b"corrected badly")
    assert state == "rejected"
    assert (detail or "").startswith("not_json: ")
    # A reason that no longer holds is not shown beside the next outcome.
    assert await again(pipeline, sample()) == ("stored", None)


async def test_a_replay_does_not_move_last_seen(pipeline: Pipeline) -> None:
    await pipeline.receive(RECEIVED, BAD)
    # And one that came by no bridge of ours, but at a time that the log knows.
    logged = int((HOUR_AGO - timedelta(hours=1)).timestamp() * 1000)
    raw = pipeline.kafka.topics.raw(Kind.METERING)
    await pipeline.send(raw, b'{"venId":"ven-2"}', [], key=b"ven-2", timestamp_ms=logged)
    await pipeline.settle()
    for found in await pipeline.index():
        await pipeline.request(found["id"], sample(venId=found["ven_id"]))
    assert await pipeline.replay() == 2
    await pipeline.settle()
    heard = await pairs(pipeline, "SELECT ven_id, reading_received_at FROM ven_status")
    assert heard == {"ven-1": RECEIVED, "ven-2": HOUR_AGO - timedelta(hours=1)}
    assert await pairs(pipeline, "SELECT ven_id, received_at FROM telemetry_readings") == heard


async def test_a_corrected_load_adds_only_the_missing_row(pipeline: Pipeline) -> None:
    hvac, kiln = {"id": "hvac", "currentPowerKw": 2.0}, {"id": "kiln", "currentPowerKw": "hot"}
    await pipeline.receive(RECEIVED, sample(loads=[hvac, kiln]))
    before = await pipeline.rows.fetch("SELECT * FROM telemetry_readings")
    corrected_payload = sample(
        usedPowerKw=9.0, loads=[{**hvac, "currentPowerKw": 5.0}, {**kiln, "currentPowerKw": 9.0}]
    )
    assert await again(pipeline, corrected_payload) == ("stored", None)
    assert await pipeline.rows.fetch("SELECT * FROM telemetry_readings") == before
    assert await pairs(pipeline, "SELECT load_id, current_power_kw FROM telemetry_loads") == {"hvac": 2.0, "kiln": 9.0}
    latest = msgspec.json.decode(await pipeline.rows.fetchval("SELECT loads FROM ven_status"))
    assert [load["id"] for load in latest] == ["hvac", "kiln"]
    assert await again(pipeline, corrected_payload) == ("already_stored", None)
    # With the load as bad as it was, there is a reason again.
    state, detail = await again(pipeline, sample(loads=[hvac, kiln]))
    assert state == "rejected"
    assert (detail or "").startswith("bad_load: load 1")


async def test_a_kill_after_a_replay_sends_twice_and_stores_once(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pipeline.receive(RECEIVED, BAD)
    await pipeline.request((await letter(pipeline))["id"], sample())

    async def killed(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streams.dead_letters.replay_outbox_source.mark_sent", killed)
    with pytest.raises(KeyboardInterrupt):
        await pipeline.replay()
    monkeypatch.undo()
    # What it sent is stored before the next one has even begun.
    await pipeline.settle()
    assert (await letter(pipeline))["state"] == "stored"
    assert await pipeline.replay() == 1
    assert (await letter(pipeline))["state"] == "stored"
    await pipeline.settle()
    sent = await read_all(pipeline.kafka, pipeline.kafka.topics.raw(Kind.METERING))
    assert [topics.HEADER_REPLAY_OF in dict(record.headers) for record in sent].count(True) == 2
    assert ((await letter(pipeline))["state"], await powers(pipeline)) == ("stored", [1.0])


async def test_a_late_outcome_does_not_change_a_later_attempt(pipeline: Pipeline) -> None:
    await pipeline.receive(RECEIVED, BAD)
    await pipeline.request((await letter(pipeline))["id"])
    await pipeline.replay()
    # Before the first attempt has come back, somebody mends the payload and tries again.
    await pipeline.request((await letter(pipeline))["id"], sample())
    await pipeline.settle()
    assert (await letter(pipeline))["state"] == "requested"
    await pipeline.replay()
    await pipeline.settle()
    assert ((await letter(pipeline))["state"], await powers(pipeline)) == ("stored", [1.0])


@pytest.mark.parametrize("size", [1_310_000, 1_440_000, 3_000_000])
async def test_an_oversized_replay_is_refused_and_blocks_no_other(pipeline: Pipeline, size: int) -> None:
    await pipeline.receive(RECEIVED, BAD, b"junk")
    large, other = sorted(await pipeline.index(), key=lambda row: row["reason"] != "not_json")
    await pipeline.request(large["id"], b"x" * size)
    await pipeline.request(other["id"], sample())
    assert await pipeline.replay() == 2
    await pipeline.settle()
    found = {row["id"]: (row["state"], (row["state_detail"] or "").split(":")[0]) for row in await pipeline.index()}
    assert found == {large["id"]: ("rejected", "too_large"), other["id"]: ("stored", "")}
    assert await pipeline.replay() == 0


async def test_requests_of_deleted_dead_letters_are_dropped(pipeline: Pipeline) -> None:
    await pipeline.receive(RECEIVED, BAD)
    await pipeline.request((await letter(pipeline))["id"], sample())
    await pipeline.rows.execute("DELETE FROM dead_letters")
    before = await read_all(pipeline.kafka, pipeline.kafka.topics.raw(Kind.METERING))
    assert await pipeline.replay() == 1
    assert await read_all(pipeline.kafka, pipeline.kafka.topics.raw(Kind.METERING)) == before
    assert await pipeline.rows.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_dead_letter_of_an_ack_can_be_replayed(pipeline: Pipeline) -> None:
    headers = [(topics.HEADER_TOPIC, b"ven/ack/ven-1")]
    await pipeline.send(pipeline.kafka.topics.raw(Kind.ACKS), b'{"op":"ping"}', headers)
    await pipeline.settle()
    corrected_payload = msgspec.json.encode({"op": "ping", "status": "success", "ts": HOUR_AGO.isoformat()})
    assert await again(pipeline, corrected_payload) == ("stored", None)
    assert await again(pipeline, corrected_payload) == ("already_stored", None)
    assert await pipeline.rows.fetchval("SELECT count(*) FROM ven_acks") == 1
