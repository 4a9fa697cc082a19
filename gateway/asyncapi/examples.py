"""Examples for the AsyncAPI document: messages of real devices, and the records parsed from them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.records import topics
from schemas.records.commands import CommandRecord, DeliveryEvidence
from schemas.records.minutes import Minute, Power
from schemas.records.network import (
    Disabled,
    Heartbeat,
    LoadTypeTotals,
    NetworkTotals,
    Partial,
    ScopeTotals,
    Totals,
    VenLoads,
)
from schemas.records.power_limits import PowerLimit
from schemas.records.telemetry import encode_record

Example = dict[str, Any]

_RECORDED = Path(__file__).with_name("examples.json")
_AT = datetime(2026, 11, 24, 10, 2, 5, tzinfo=UTC)
_PARTITION = 3

# Of each canonical topic, the kind and the messages whose records are shown.
_PARSED_TO = {
    topics.TELEMETRY: (Kind.METERING, "MeteringSample"),
    topics.FAULTS: (Kind.METERING, "FaultMessage"),
    topics.LOADS: (Kind.LOADS, "LoadSnapshotMessage"),
    topics.STATUS: (Kind.STATUS, "StatusMessage"),
    topics.ACKS: (Kind.ACKS, "AckMessage"),
    topics.SHADOW: (Kind.SHADOW, "ShadowMessage"),
    topics.VTN_MESSAGES: (Kind.EVENTS, "ForeignEvent"),
}


def message_examples() -> dict[str, list[Example]]:
    """Return messages over MQTT by the name of their schema, each with `name`, `topic` and `payload`.

    Most come from recordings of real devices and of the gateway's commands to them.
    """
    found: dict[str, list[Example]] = json.loads(_RECORDED.read_text(encoding="utf-8"))
    return found


def record_examples() -> dict[str, list[Any]]:
    """Return values of the Kafka topics: records parsed from the messages above, and invented ones for the rest."""
    sent = message_examples()
    found: dict[str, list[Any]] = {
        topic: [_record(kind, example) for example in sent[name]] for topic, (kind, name) in _PARSED_TO.items()
    }
    return found | {topic: [_written(record) for record in records] for topic, records in _made_up(sent).items()}


def _record(kind: Kind, example: Example) -> Any:
    payload = example["payload"]
    measured = payload.get("timestamp") or payload.get("ts")
    received = _AT if measured is None else datetime.fromtimestamp(measured, UTC) + timedelta(milliseconds=310)
    parsed = parse(kind, json.dumps(payload).encode(), Source(example["topic"], received))
    if not isinstance(parsed, Parsed):
        raise TypeError(f"{example['name']!r} is rejected: {parsed}")
    return _written(parsed.record)


def _written(record: Any) -> Any:
    return msgspec.json.decode(encode_record(record))


def _made_up(sent: dict[str, list[Example]]) -> dict[str, list[Any]]:
    command = sent["EventCommand"][0]["payload"]
    command_id, ven_id = command["correlationId"], command["venId"]
    end = _AT + timedelta(hours=1)
    totals, types = Totals(3, 24.6, 14.4, 6.3, 6.3), {"hvac": LoadTypeTotals(21.6, 6.3, 6.3)}
    return {
        topics.COMMANDS: [
            CommandRecord(
                correlation_id=command_id,
                ven_id=ven_id,
                op=command["op"],
                payload=command,
                expires_at=end,
                event_id=command["event_id"],
                ends_at=end,
            )
        ],
        topics.COMMAND_LOG: [
            DeliveryEvidence(correlation_id=command_id, ven_id=ven_id, attempt=1, state="sent", at=_AT, expires_at=end)
        ],
        topics.MINUTES: [
            Minute(
                ven_id=ven_id,
                minute=_AT.replace(second=0),
                version=1764,
                samples=12,
                used=Power(samples=12, mean_kw=8.2, min_kw=7.9, max_kw=8.6, energy_kwh=0.137, covered_seconds=60.0),
                shed=Power(samples=12, mean_kw=4.8, min_kw=4.8, max_kw=4.8, energy_kwh=0.08, covered_seconds=60.0),
                event_id="evt-123",
                requested_reduction_kw=5.0,
            )
        ],
        topics.STATS: [NetworkTotals(_AT, totals, types), ScopeTotals(_AT, types["hvac"])],
        topics.PARTIALS: [Partial(_PARTITION, _AT, totals, types)],
        topics.STATS_CHANGELOG: [Partial(_PARTITION, _AT, totals, types)],
        topics.HEARTBEATS: [Heartbeat(_AT)],
        topics.DISABLED: [Disabled("ven-003")],
        topics.POWER_LIMITS: [PowerLimit("ven-003", 5000.0)],
        topics.LIVE_LOADS: [VenLoads(ven_id, _AT, False, _AT, 6.3, 6.3, types)],  # noqa: FBT003 - a positional record
    }
