"""Replays recordings of MQTT messages (JSON lines) to a broker."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.fleet.publisher import DRAIN_S, Publisher
from schemas.mqtt.routing import COMMAND_TOPIC

_TIME_FIELDS = frozenset(("timestamp", "ts", "end_ts", "until"))
_MILLISECONDS_FROM = 100_000_000_000  # larger numbers are milliseconds: as seconds this is the year 5138

Record = dict[str, Any]
"""A recorded message: t (seconds since the start of the recording), topic, qos, retain, payload (text)."""


@dataclass
class ReplayResult:
    """The published messages per topic, how many the broker acknowledged (QoS 1), and how many were `skipped`."""

    counts: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    skipped: int = 0

    def accept(self) -> None:
        self.accepted += 1


def sent_by_a_ven(record: Record) -> bool:
    """Return whether a VEN sent the message; recordings also contain the gateway's commands."""
    return not record["topic"].startswith(COMMAND_TOPIC)


async def replay(
    host: str,
    port: int,
    recording: Path,
    *,
    speed: float = 0.0,
    shift_to: datetime | None = None,
    only: Callable[[Record], bool] | None = None,
) -> ReplayResult:
    """Publish a recording to a broker, each message with its topic, QoS and retain flag.

    Args:
        host: The broker's host.
        port: The broker's port.
        recording: A file of JSON lines.
        speed: Recorded seconds per real second; 0 is as fast as possible.
        shift_to: Shift all times in the payloads by the same number of whole seconds, so that the first is this.
        only: Selects the records to publish; by default those that a VEN sent.

    Raises:
        BrokerRefusedError: the broker refused the connection.
    """
    recorded = await asyncio.to_thread(read, recording)
    records = [record for record in recorded if (only or sent_by_a_ven)(record)]
    delta_s = 0 if shift_to is None else _shift_seconds(records, shift_to)
    result = ReplayResult(skipped=len(recorded) - len(records))
    loop = asyncio.get_running_loop()
    async with Publisher(host, port, f"replay-{recording.stem}") as publisher:
        await publisher.wait_for_capacity()
        begun = loop.time()
        for record in records:
            if speed > 0:
                await asyncio.sleep(max(0.0, begun + (record["t"] - records[0]["t"]) / speed - loop.time()))
            await publisher.wait_for_capacity()
            payload = shifted(record["payload"], delta_s).encode()
            publisher.send(record["topic"], payload, result.accept, qos=record["qos"], retain=record["retain"])
            result.counts[record["topic"]] += 1
        await publisher.drain(DRAIN_S)
    return result


def read(recording: Path) -> list[Record]:
    """Return the records of a file of JSON lines."""
    with recording.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def shifted(payload: str, delta_s: int) -> str:
    """Return the payload with its times shifted by `delta_s` seconds; other payloads than JSON stay unchanged."""
    if not delta_s:
        return payload
    try:
        document = json.loads(payload)
    except ValueError:
        return payload
    return json.dumps(_shifted(document, delta_s))


def _shifted(value: Any, delta_s: int) -> Any:
    if isinstance(value, dict):
        return {k: _shift_time(v, delta_s) if k in _TIME_FIELDS else _shifted(v, delta_s) for k, v in value.items()}
    if isinstance(value, list):
        return [_shifted(item, delta_s) for item in value]
    return value


def _shift_time(value: Any, delta_s: int) -> Any:
    """Return a shifted time in its original form: seconds, milliseconds or ISO 8601 text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value + (delta_s * 1000 if value >= _MILLISECONDS_FROM else delta_s)
    if isinstance(value, str):
        return datetime.fromtimestamp(_seconds(value) + delta_s, UTC).isoformat()
    return value


def _shift_seconds(records: list[Record], shift_to: datetime) -> int:
    """Return how many seconds `shift_to` is after the first time in the records."""
    first = next((time for record in records for time in _times(record["payload"])), None)
    if first is None:
        raise ValueError("the recording contains no times to shift")
    return int(shift_to.timestamp()) - int(_seconds(first))


def _times(payload: str) -> Iterator[Any]:
    try:
        pending = [json.loads(payload)]
    except ValueError:
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from (value[key] for key in ("timestamp", "ts") if value.get(key) is not None)
            pending.extend(value.values())


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return float(value / 1000 if value >= _MILLISECONDS_FROM else value)
