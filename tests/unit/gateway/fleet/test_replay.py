"""The replay of recordings: what is published, and how times are shifted."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.fleet import replay
from tests.support.paths import RECORDINGS
from tests.unit.gateway.fleet.fake_broker import FakeBroker


async def test_replay_publishes_what_vens_sent(broker: FakeBroker) -> None:
    recording = RECORDINGS / "ven_enhanced.jsonl"
    records = [json.loads(line) for line in recording.read_text().splitlines()]
    result = await replay("127.0.0.1", broker.port, recording)
    sent = Counter(record["topic"] for record in records if not record["topic"].startswith("ven/cmd/"))
    assert result.counts == Counter(topic for topic, _ in broker.published) == sent
    assert result.accepted == sum(sent.values()) == 139
    assert result.skipped == len(records) - 139 > 0
    first = next(record["payload"] for record in records if record["topic"] == "volttron/metering")
    assert ("volttron/metering", first.encode()) in broker.published


async def test_replay_shifts_all_times_equally(broker: FakeBroker) -> None:
    shift_to = datetime(2025, 3, 1, 12, 0, 0, 700_000, UTC)
    await replay("127.0.0.1", broker.port, RECORDINGS / "ven_local.jsonl", shift_to=shift_to)
    times = [payload["ts"] for payload in broker.documents("ven/telemetry/")]
    assert times[:3] == [int(shift_to.timestamp()) + n for n in (0, 5, 10)]
    ack = broker.documents("ven/ack/")[0]
    assert ack["ts"] == 1795492222 - 1795492202 + times[0]
    assert (ack["op"], ack["correlationId"]) == ("ping", "c-ping-1")


async def test_replay_shifts_every_form_of_time(broker: FakeBroker, tmp_path: Path) -> None:
    begun = datetime(2025, 3, 1, 12, tzinfo=UTC)
    payload = {
        "timestamp": begun.isoformat(),
        "ts": begun.timestamp() + 0.5,
        "state": {"reported": {"timestamp": int(begun.timestamp()) * 1000, "active_event": {"end_ts": 1}}},
        "loads": [{"id": "a", "until": None}],
        "usedPowerKw": 1.5,
    }
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"t": 0, "topic": "x", "qos": 1, "retain": False, "payload": json.dumps(payload)}))
    await replay("127.0.0.1", broker.port, path, shift_to=begun + timedelta(days=1))
    assert broker.documents() == [
        {
            "timestamp": "2025-03-02T12:00:00+00:00",
            "ts": begun.timestamp() + 86_400.5,
            "state": {
                "reported": {"timestamp": int(begun.timestamp() + 86_400) * 1000, "active_event": {"end_ts": 86_401}}
            },
            "loads": [{"id": "a", "until": None}],
            "usedPowerKw": 1.5,
        }
    ]


async def test_replay_publishes_selected_records_only(broker: FakeBroker) -> None:
    result = await replay(
        "127.0.0.1", broker.port, RECORDINGS / "ven_local.jsonl", only=lambda record: "/cmd/" in record["topic"]
    )
    assert result.counts == {"ven/cmd/ven-real-local": 13}
    assert result.accepted == 13
