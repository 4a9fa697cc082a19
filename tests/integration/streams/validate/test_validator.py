"""Unusual records become canonical records or dead letters, and stop nothing."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord

from runtime.kafka import producer
from schemas.base.rejection import Reason
from schemas.base.time_window import TimeWindow
from schemas.mqtt.routing import Kind
from schemas.records import topics
from schemas.records.telemetry import decode_reading
from schemas.settings.blocks import KafkaSettings
from streams.engine.batch_producer import BatchProducer
from streams.validate.clock_skew import ClockSkews
from streams.validate.power_limits import PowerLimits
from streams.validate.validator import Validator
from tests.support.kafka_records import read_all

WINDOW = TimeWindow(90, timedelta(minutes=5))
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=400)
Headers = Sequence[tuple[str, bytes | None]]
MQTT_TOPICS = {Kind.METERING: "volttron/metering", Kind.EVENTS: "openadr/event", Kind.ACKS: "ven/ack/ven-1"}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def raw(kafka: KafkaSettings, kind: Kind, payload: bytes, headers: Headers, logged: int = milliseconds(NOW)) -> Any:
    return ConsumerRecord(kafka.topics.raw(kind), 0, 7, logged, 0, b"ven-1", payload, None, 0, 0, headers)


async def validated(kafka: KafkaSettings, kind: Kind, records: Sequence[Any]) -> None:
    async with producer(kafka, "test") as log:
        limits, batch_producer = PowerLimits(1000), BatchProducer(log, kafka.topics)
        validator = Validator(kind, WINDOW, limits, ClockSkews(), batch_producer, kafka.topics)
        for record in records:
            validator.validate(record, datetime.now(UTC))
        await validator.flush()


async def arrived(kafka: KafkaSettings, kind: Kind, *, retained: bool, **fields: Any) -> None:
    headers = [
        (topics.HEADER_TOPIC, MQTT_TOPICS[kind].encode()),
        (topics.HEADER_RECEIVED, b"%d" % milliseconds(NOW)),
        (topics.HEADER_RETAIN, b"%d" % retained),
    ]
    await validated(kafka, kind, [raw(kafka, kind, json.dumps({"venId": "ven-1", **fields}).encode(), headers)])


async def only(kafka: KafkaSettings, topic: str) -> dict[str, Any]:
    (record,) = await read_all(kafka, kafka.topics(topic))
    found: dict[str, Any] = msgspec.json.decode(record.value)
    return {**found, "at": datetime.fromisoformat(found["timestamp"])}


@pytest.mark.parametrize("retained", [False, True])
async def test_old_vtn_event_is_stored_under_its_receive_day(kafka: KafkaSettings, *, retained: bool) -> None:
    await arrived(kafka, Kind.EVENTS, retained=retained, timestamp=LONG_AGO.isoformat(), event="evt-1")
    kept = await only(kafka, topics.VTN_MESSAGES)
    assert kept["at"] == NOW.replace(hour=0, minute=0, second=0)


@pytest.mark.parametrize("retained", [False, True])
async def test_ack_of_a_wrong_clock_counts_by_receive_time(kafka: KafkaSettings, *, retained: bool) -> None:
    await arrived(kafka, Kind.ACKS, retained=retained, ts=LONG_AGO.isoformat(), op="ping", status="success")
    assert (await only(kafka, topics.ACKS))["at"] == NOW


async def letters(kafka: KafkaSettings, kind: Kind) -> list[dict[str, bytes]]:
    found = await read_all(kafka, kafka.topics.dead_letters(kafka.topics.raw(kind)))
    return [dict(record.headers) for record in found]


async def test_old_sample_reports_clock_skew_unless_retained(
    kafka: KafkaSettings,
) -> None:
    for retained in (False, True):
        await arrived(kafka, Kind.METERING, retained=retained, timestamp=LONG_AGO.isoformat())
    live, kept = await letters(kafka, Kind.METERING)
    assert live[topics.HEADER_REASON] == kept[topics.HEADER_REASON] == Reason.TOO_OLD.encode()
    assert float(live[topics.HEADER_CLOCK_SKEW]) == timedelta(days=400).total_seconds()
    # Nobody knows when it was sent.
    assert topics.HEADER_CLOCK_SKEW not in kept


async def test_invalid_headers_and_times_stop_nothing(kafka: KafkaSettings) -> None:
    names = (topics.HEADER_TOPIC, topics.HEADER_RECEIVED, topics.HEADER_RETAIN, topics.HEADER_REPLAY_OF, "x")
    good = json.dumps({"venId": "ven-1", "timestamp": NOW.isoformat()}).encode()
    values = (None, b"\xff\xfe", b"9" * 13, b"-9" * 300)
    logged = (-1, -(10**15), 10**15, 2**62)
    odd = [([(name, value) for name in names], moment) for value in values for moment in logged]
    records = [raw(kafka, Kind.METERING, payload, *each) for each in odd for payload in (good, b"junk")]
    await validated(kafka, Kind.METERING, records)
    readings = [decode_reading(record.value) for record in await read_all(kafka, kafka.topics(topics.TELEMETRY))]
    assert [reading.timestamp for reading in readings] == [NOW] * len(odd)
    # No receive time is in another century.
    assert all(abs(reading.received_at - datetime.now(UTC)) < timedelta(minutes=2) for reading in readings)
    reasons = [letter[topics.HEADER_REASON] for letter in await letters(kafka, Kind.METERING)]
    assert reasons == [Reason.NOT_JSON.encode()] * len(odd)


async def test_entries_of_an_array_are_validated_one_by_one(kafka: KafkaSettings) -> None:
    stamp = int(NOW.timestamp())
    good = [{"venId": f"ven-{number}", "ts": stamp - number} for number in range(3)]
    payload = json.dumps([good[0], {"venId": "ven-7"}, good[1], 5, {"venId": "old", "ts": stamp - 10**9}, good[2]])
    await validated(kafka, Kind.METERING, [raw(kafka, Kind.METERING, payload.encode(), ())])
    stored = await read_all(kafka, kafka.topics(topics.TELEMETRY))
    assert sorted((record.key, decode_reading(record.value).ven_id) for record in stored) == [
        (f"ven-{number}".encode(), f"ven-{number}") for number in range(3)
    ]
    rejected = await read_all(kafka, kafka.topics.dead_letters(kafka.topics.raw(Kind.METERING)))
    found = {
        (record.key, json.dumps(json.loads(record.value)), dict(record.headers)[topics.HEADER_REASON])
        for record in rejected
    }
    assert found == {
        (b"ven-7", '{"venId": "ven-7"}', b"missing_time"),
        (None, "5", b"not_object"),
        (b"old", json.dumps({"venId": "old", "ts": stamp - 10**9}), b"too_old"),
    }
