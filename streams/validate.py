"""Role `validate`: raw payloads become canonical records, or dead letters with a reason."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.metering import Parsed, parse_metering
from schemas.mqtt import Kind
from schemas.readings import FaultReport, encode_record
from schemas.reasons import Rejection
from schemas.settings import KafkaSettings, StreamsSettings
from schemas.topics import FAULTS, HEADER_RECEIVED, HEADER_RETAIN, TELEMETRY
from streams.batches import Record, gathered, headers_of
from streams.flood import FloodAlarm
from streams.outbox import Outbox

_MILLISECOND_DIGITS = 13


def add_validate(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, flood: FloodAlarm
) -> None:
    """Register the role's agents with the app."""
    names = kafka.topics
    window = streams.window
    outbox = Outbox(producer, names)

    @app.agent(app.batches_of(names.raw(Kind.METERING)), name="validate-metering")  # type: ignore[untyped-decorator]
    async def validate_metering(stream: Any) -> None:
        async for batches in gathered(stream, streams.streams_batch_records):
            for batch in batches:
                for record in batch.records:
                    await _validate(record)
            set_apart = await outbox.settled()
            flood.count(records=sum(len(batch.records) for batch in batches), dead_letters=set_apart)

    async def _validate(record: Record) -> None:
        now = datetime.now(UTC)
        headers = headers_of(record)
        parsed = parse_metering(record.value or b"", min(received_at(headers, record.timestamp), now))
        if isinstance(parsed, Parsed):
            parsed = window.check(parsed.record.timestamp, now) or _as_heard(parsed, headers)
        if isinstance(parsed, Rejection):
            await outbox.dead_letter(record, parsed)
            return
        topic = FAULTS if isinstance(parsed.record, FaultReport) else TELEMETRY
        await outbox.send(names(topic), parsed.record.ven_id.encode(), encode_record(parsed.record))
        for rejection in parsed.rejected_loads:
            await outbox.dead_letter(record, rejection)


def _as_heard(parsed: Parsed, headers: Mapping[str, bytes]) -> Parsed:
    """A retained message tells what a VEN said once, and not that it is there: it was heard when it measured."""
    known = parsed.record
    if headers.get(HEADER_RETAIN) == b"1" and known.timestamp < known.received_at:
        return parsed._replace(record=msgspec.structs.replace(known, received_at=known.timestamp))
    return parsed


def received_at(headers: Mapping[str, bytes], logged_ms: int) -> datetime:
    """When the bridge took the message from MQTT; for a record that others wrote, when the log got it."""
    header = headers.get(HEADER_RECEIVED, b"")
    # Others may write here, too: what is no time of our centuries is not one.
    milliseconds = int(header) if header.isdigit() and len(header) <= _MILLISECOND_DIGITS else logged_ms
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
