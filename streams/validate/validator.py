"""Parses raw payloads into canonical records, or dead letters with a reason."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from schemas.base.rejection import Rejection
from schemas.base.time_window import TimeWindow
from schemas.mqtt.record_key import message_key
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import Ack
from schemas.parsing.plausibility import check_power
from schemas.parsing.registry import parse_message
from schemas.parsing.result import Parsed, Source
from schemas.parsing.shadow import Shadow
from schemas.parsing.status import VenStatus
from schemas.parsing.vtn_messages import VtnMessage, begin_of_day
from schemas.records import topics
from schemas.records.telemetry import FaultReport, LoadSnapshot, Reading, encode_measurement, encode_record
from schemas.records.tracing import TRACEPARENT
from streams.engine.batch import Record, headers_of
from streams.engine.batch_producer import BatchProducer
from streams.validate.clock_skew import ClockSkews
from streams.validate.power_limits import PowerLimits
from streams.validate.receive_time import receive_time

TOPIC_OF: Mapping[Any, str] = {
    Reading: topics.TELEMETRY,
    LoadSnapshot: topics.LOADS,
    FaultReport: topics.FAULTS,
    VenStatus: topics.STATUS,
    Ack: topics.ACKS,
    Shadow: topics.SHADOW,
    VtnMessage: topics.VTN_MESSAGES,
}

_MEASUREMENTS = (Reading, LoadSnapshot)

Headers = list[tuple[str, bytes]]


class Validator:
    """Validates the raw records of one kind of message."""

    def __init__(
        self,
        kind: Kind,
        window: TimeWindow,
        limits: PowerLimits,
        clock_skews: ClockSkews,
        batch_producer: BatchProducer,
        names: topics.TopicNames,
    ) -> None:
        self._kind = kind
        self._limits = limits
        self._clock_skews = clock_skews
        self._window = window
        self._batch_producer = batch_producer
        self._topic_of = {record: names(topic) for record, topic in TOPIC_OF.items()}
        self.flush = batch_producer.flush

    def validate(self, record: Record, now: datetime) -> None:
        """Queue the canonical record and the dead letters that a raw record yields; `flush` writes them."""
        headers = headers_of(record)
        source = Source(
            headers.get(topics.HEADER_TOPIC, b"").decode(errors="replace"),
            min(receive_time(headers, record.timestamp), now),
            headers.get(topics.HEADER_RETAIN) == b"1",
        )
        payload = record.value or b""
        for entry, parsed in parse_message(self._kind, payload, source):
            outcome = self._check_power(parsed) if isinstance(parsed, Parsed) else parsed
            # The dead letter of an array's entry holds only this entry.
            origin = record if entry is payload else self._entry_record(record, source.topic, entry)
            if isinstance(outcome, Parsed):
                self._send(origin, outcome, source, now, forwarded_headers(headers))
            elif outcome is not None:
                self._batch_producer.dead_letter(origin, outcome)

    def _check_power(self, parsed: Parsed) -> Parsed | Rejection:
        ven_id = parsed.record.ven_id
        return parsed if ven_id is None else check_power(parsed, self._limits.limit_kw(ven_id))

    def _entry_record(self, record: Record, topic: str, entry: bytes) -> Record:
        return replace(record, key=message_key(self._kind, topic, entry), value=entry)

    def _send(self, record: Record, parsed: Parsed, source: Source, now: datetime, headers: Headers | None) -> None:
        canonical = _check_time(parsed.record, source.received_at, self._window, now)
        if isinstance(canonical, Rejection):
            # It is unknown when a retained message was sent.
            skew = None if source.retained else (source.received_at - parsed.record.timestamp).total_seconds()
            self._batch_producer.dead_letter(record, canonical, clock_skew=skew)
            return
        key = None if canonical.ven_id is None else canonical.ven_id.encode()
        if isinstance(canonical, _MEASUREMENTS):
            # A replay has no digest: it adds what is missing of a stored record, such as a load that was corrected.
            is_replay = headers is not None and topics.HEADER_REPLAY_OF in dict(headers)
            skew_seconds = self._clock_skew(canonical, source, is_replay=is_replay)
            value = encode_measurement(canonical, skew_seconds, is_replay=is_replay)
        else:
            value = encode_record(canonical)
        self._batch_producer.send(self._topic_of[type(canonical)], key, value, headers)
        for rejection in parsed.rejected_loads:
            self._batch_producer.dead_letter(record, rejection)

    def _clock_skew(self, record: Reading | LoadSnapshot, source: Source, *, is_replay: bool) -> float:
        # It is unknown when a retained message was sent, and a replay was received once before.
        if source.retained or is_replay:
            return self._clock_skews.known(record.ven_id, record.timestamp, record.received_at)
        return self._clock_skews.observe(record.ven_id, record.timestamp, record.received_at)


def forwarded_headers(headers: Mapping[str, bytes]) -> Headers | None:
    """Return the headers that stay with a message through all topics; few messages have any."""
    if topics.HEADER_REPLAY_OF not in headers and TRACEPARENT not in headers:
        return None
    return [(name, headers[name]) for name in (topics.HEADER_REPLAY_OF, TRACEPARENT) if name in headers]


def _check_time(record: Any, received_at: datetime, window: TimeWindow, now: datetime) -> Any:
    """Return the record, or a Rejection if its time of measurement is outside the window."""
    if isinstance(record, VenStatus) or record.timestamp is None:
        return record  # counts by its receive time
    rejection = window.check(record.timestamp, now)
    if rejection is None:
        return record
    # Acks and VTN messages matter whatever the sender's clock shows, so they count by their receive time.
    if isinstance(record, Ack):
        return msgspec.structs.replace(
            record, timestamp=received_at, timed_by_arrival=True, device_time=record.timestamp
        )
    if isinstance(record, VtnMessage):
        return msgspec.structs.replace(record, timestamp=begin_of_day(received_at))
    return rejection
