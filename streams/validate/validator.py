"""Role `validate`: raw payloads of every kind become canonical records, or dead letters with a reason."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.base.rejection import Rejection
from schemas.base.time_window import TimeWindow
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import Ack
from schemas.parsing.registry import PARSERS, parse
from schemas.parsing.result import Parsed, Source
from schemas.parsing.shadow import Shadow
from schemas.parsing.status import VenStatus
from schemas.parsing.vtn_messages import VtnMessage, begin_of_day
from schemas.records import topics
from schemas.records.telemetry import FaultReport, LoadSnapshot, Reading, encode_record
from schemas.records.tracing import TRACEPARENT
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.batch_consumer import Record, headers_of
from streams.engine.batch_processing import merged_batches
from streams.engine.batch_producer import BatchProducer
from streams.validate.dead_letter_alarm import DeadLetterAlarm
from streams.validate.heartbeats import HeartbeatRelay

TOPIC_OF: Mapping[Any, str] = {
    Reading: topics.TELEMETRY,
    LoadSnapshot: topics.LOADS,
    FaultReport: topics.FAULTS,
    VenStatus: topics.STATUS,
    Ack: topics.ACKS,
    Shadow: topics.SHADOW,
    VtnMessage: topics.VTN_MESSAGES,
}
_MILLISECOND_DIGITS = 13

Headers = list[tuple[str, bytes]]


def add_validate(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, alarm: DeadLetterAlarm
) -> None:
    """Register the role's agents with the app: one a kind, so that none waits behind another."""
    for kind in PARSERS:
        validator = Validator(kind, streams.window, BatchProducer(producer, kafka.topics), kafka.topics)
        heartbeats = HeartbeatRelay(producer, kafka.topics)
        _add_agent(app, kafka.topics.raw(kind), streams.streams_batch_records, validator, heartbeats, alarm)


def _add_agent(
    app: Any, topic: str, max_records: int, validator: "Validator", heartbeats: HeartbeatRelay, alarm: DeadLetterAlarm
) -> None:
    @app.agent(app.batches_of(topic), name=f"validate-{topic}")  # type: ignore[untyped-decorator]
    async def validate_batches(stream: Any) -> None:
        async for batches in merged_batches(stream, max_records):
            messages = 0
            for batch in batches:
                now = datetime.now(UTC)
                for record in batch.records:
                    if is_heartbeat(record):
                        # A clock that is ahead of ours makes heartbeats as old as samples, not younger.
                        heartbeats.receive(
                            record.partition, min(received_at(headers_of(record), record.timestamp), now)
                        )
                    else:
                        messages += 1
                        validator.take(record, now)
            dead_letters = await validator.flush()
            await heartbeats.flush()
            alarm.count(records=messages, dead_letters=dead_letters)


class Validator:
    """Parses the payloads of one kind and sends on what they become."""

    def __init__(self, kind: Kind, window: TimeWindow, batch_producer: BatchProducer, names: topics.TopicNames) -> None:
        self._kind = kind
        self._window = window
        self._batch_producer = batch_producer
        self._topic_of = {record: names(topic) for record, topic in TOPIC_OF.items()}
        self.flush = batch_producer.flush

    def take(self, record: Record, now: datetime) -> None:
        """Work out what a payload becomes; `flush` sends it and waits until the log has it."""
        headers = headers_of(record)
        source = Source(
            headers.get(topics.HEADER_TOPIC, b"").decode(errors="replace"),
            min(received_at(headers, record.timestamp), now),
            headers.get(topics.HEADER_RETAIN) == b"1",
        )
        parsed = parse(self._kind, record.value or b"", source)
        if isinstance(parsed, Parsed):
            self._send(record, parsed, source, now, _passed_on(headers))
        elif parsed is not None:
            self._batch_producer.dead_letter(record, parsed)

    def _send(self, record: Record, parsed: Parsed, source: Source, now: datetime, headers: Headers | None) -> None:
        canonical = in_window(parsed.record, source.received_at, self._window, now)
        if isinstance(canonical, Rejection):
            # When a retained message was sent nobody knows.
            skew = None if source.retained else (source.received_at - parsed.record.timestamp).total_seconds()
            self._batch_producer.dead_letter(record, canonical, clock_skew=skew)
            return
        key = None if canonical.ven_id is None else canonical.ven_id.encode()
        self._batch_producer.send(self._topic_of[type(canonical)], key, encode_record(canonical), headers)
        for rejection in parsed.rejected_loads:
            self._batch_producer.dead_letter(record, rejection)


def is_heartbeat(record: Record) -> bool:
    """Whether a record of ven.raw.metering is no message, but the bridge's word that it is at work."""
    return not record.value and topics.HEADER_HEARTBEAT in headers_of(record)


def _passed_on(headers: Mapping[str, bytes]) -> Headers | None:
    """What goes with the message through all topics; almost none has any of it."""
    if topics.HEADER_REPLAY_OF not in headers and TRACEPARENT not in headers:
        return None
    return [(name, headers[name]) for name in (topics.HEADER_REPLAY_OF, TRACEPARENT) if name in headers]


def in_window(record: Any, came_at: datetime, window: TimeWindow, now: datetime) -> Any:
    """Return the record, or the Rejection where it was measured at a time that no sound clock shows."""
    if isinstance(record, VenStatus) or record.timestamp is None:
        return record  # counts by its arrival
    rejection = window.check(record.timestamp, now)
    if rejection is None:
        return record
    # What these say matters now, whatever the device's clock shows: they count by their arrival.
    if isinstance(record, Ack):
        return msgspec.structs.replace(record, timestamp=came_at, timed_by_arrival=True, said_at=record.timestamp)
    if isinstance(record, VtnMessage):
        return msgspec.structs.replace(record, timestamp=begin_of_day(came_at))
    return rejection


def received_at(headers: Any, logged_ms: int) -> datetime:
    """When the bridge took the message from MQTT; for a record that others wrote, when the log got it."""
    header = headers.get(topics.HEADER_RECEIVED, b"")
    # Others may write here, too: what is no time of our centuries is not one.
    milliseconds = int(header) if header.isdigit() and len(header) <= _MILLISECOND_DIGITS else logged_ms
    if not 0 <= milliseconds < 10**_MILLISECOND_DIGITS:
        return datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
