"""What real VEN agents sent goes through the whole system and comes out right."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.fleet import replay
from gateway.fleet.replay import read, sent_by_a_ven, shifted
from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.mqtt.routing import Kind
from schemas.records.topics import HEADER_TOPIC, raw_topic
from tests.e2e.recorded import all_processed, dump, other_kinds_are_right
from tests.support import paths
from tests.support.kafka_records import read_all

RECORDINGS = sorted(paths.RECORDINGS.glob("*.jsonl"))
METERING = ("volttron/metering", "ven/telemetry/")


def payloads(recording: Path, shift_to: datetime) -> list[tuple[str, str]]:
    """The messages of the VEN as `replay` sends them: (topic, payload)."""
    records = [record for record in read(recording) if sent_by_a_ven(record)]
    documents = [json.loads(record["payload"]) for record in records if record["payload"]]
    first = next(document.get("timestamp") or document.get("ts") for document in documents)
    delta = int(shift_to.timestamp()) - int(first)
    return [(record["topic"], shifted(record["payload"], delta)) for record in records]


def samples(messages: list[tuple[str, str]]) -> dict[tuple[str, int], dict[str, Any]]:
    """Metering samples by (VEN, time): an independent, plain reading of the payloads."""
    found = (json.loads(payload) for topic, payload in messages if topic.startswith(METERING))
    return {(sample["venId"], sample.get("timestamp") or sample["ts"]): sample for sample in found}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
async def test_a_replayed_recording_is_stored_once_and_correctly(
    system: System, stored: Connection, recording: Path
) -> None:
    shift_to = datetime.now(UTC) - timedelta(minutes=20)
    messages = payloads(recording, shift_to)
    expected = samples(messages)
    ven_id = next(iter(expected))[0]

    async def send() -> None:
        await replay(system.stack.mqtt_host, system.stack.mqtt_port, recording, shift_to=shift_to)

    async def raw_count() -> int:
        return len(await _raw_of(system, ven_id, Kind.METERING))

    metering = sum(topic.startswith(METERING) for topic, _ in messages)
    dumps = []
    for times in (1, 2):
        await send()
        # Now, for a minute after its last reading it is offline.
        assert await wait_until(lambda: _is_online(system, ven_id), timeout=50, every=0.1)
        assert await wait_until(lambda times=times: _equals(raw_count, metering * times), timeout=60, every=0.5)  # type: ignore[misc]
        assert await wait_until(lambda: _has_rows(stored, ven_id, len(expected)), timeout=60)
        assert await all_processed(system, 60)
        await _rows_are_right(stored, ven_id, expected)
        await other_kinds_are_right(stored, ven_id, messages)
        dumps.append(await dump(stored, ven_id))
    assert dumps[0] == dumps[1]
    assert dumps[0]["dead_letters"] == []
    await _raw_topics_hold_all_kinds(system, ven_id, messages)
    await _rest_shows_it(system, ven_id, expected)


async def _equals(count: Any, wanted: int) -> bool:
    return bool(await count() == wanted)


async def _has_rows(stored: Connection, ven_id: str, count: int) -> bool:
    return bool(await stored.fetchval("SELECT count(*) FROM telemetry_readings WHERE ven_id = $1", ven_id) == count)


async def _rows_are_right(stored: Connection, ven_id: str, expected: dict[tuple[str, int], dict[str, Any]]) -> None:
    rows = await stored.fetch("SELECT * FROM telemetry_readings WHERE ven_id = $1", ven_id)
    loads = await stored.fetch("SELECT * FROM telemetry_loads WHERE ven_id = $1", ven_id)
    for row in rows:
        at = int(row["time"].timestamp())
        sample = expected[ven_id, at]
        assert row["used_power_kw"] == sample.get("usedPowerKw", sample["power_kw"])
        assert row["shed_power_kw"] == sample.get("shedPowerKw", sample["shed_kw"])
        assert row["event_id"] == sample.get("eventId")
        assert row["baseline_power_kw"] == sample.get("baselinePowerKw")
        assert row["message_num"] == sample["message_num"]
        assert row["extra"] is None
        mine = {load["load_id"]: load["current_power_kw"] for load in loads if int(load["time"].timestamp()) == at}
        assert mine == {load["id"]: load["currentPowerKw"] for load in sample.get("loads", [])}


async def _raw_of(system: System, ven_id: str, kind: Kind) -> list[Any]:
    return [record for record in await read_all(system.kafka, raw_topic(kind)) if record.key == ven_id.encode()]


async def _raw_topics_hold_all_kinds(system: System, ven_id: str, messages: list[tuple[str, str]]) -> None:
    """Byte for byte, each twice by now, under the topic it came from."""
    held: Counter[tuple[str, str]] = Counter()
    for kind in Kind:
        held.update(
            (dict(record.headers)[HEADER_TOPIC].decode(), (record.value or b"").decode())
            for record in await _raw_of(system, ven_id, kind)
        )
    assert held == Counter(messages * 2)


async def _is_online(system: System, ven_id: str) -> bool:
    async with httpx.AsyncClient(base_url=system.api, timeout=30, trust_env=False) as client:
        answer = await client.get(f"/api/vens/{ven_id}")
    return answer.is_success and bool(answer.json()["status"] == "online")


async def _rest_shows_it(system: System, ven_id: str, expected: dict[tuple[str, int], dict[str, Any]]) -> None:
    async with httpx.AsyncClient(base_url=system.api, timeout=30, trust_env=False) as client:
        telemetry = (await client.get(f"/api/vens/{ven_id}/telemetry")).json()
        ven = (await client.get(f"/api/vens/{ven_id}")).json()
    assert telemetry["totalCount"] == len(expected)
    last = expected[max(expected, key=lambda key: key[1])]
    assert telemetry["telemetry"][-1]["usedPowerKw"] == last.get("usedPowerKw", last["power_kw"])
    assert ven["name"] == f"Auto-registered VEN {ven_id}"
    assert [load["id"] for load in ven["loads"]] == [load["id"] for load in last.get("loads", [])]
