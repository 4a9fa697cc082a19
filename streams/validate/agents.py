"""The Faust agents of the role `validate`, one per kind of message so that no kind waits for another."""

from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.parsing.registry import PARSERS
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.batch_processing import merged_batches
from streams.engine.batch_producer import BatchProducer
from streams.validate.clock_skew import ClockSkews
from streams.validate.dead_letter_alarm import DeadLetterAlarm
from streams.validate.heartbeats import HeartbeatRelay, heartbeat_of
from streams.validate.power_limits import PowerLimits
from streams.validate.validator import Validator


def add_validate(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, alarm: DeadLetterAlarm
) -> None:
    """Register the agents with the app."""
    limits, clock_skews = PowerLimits(streams.max_ven_power_kw), ClockSkews()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_power_limits() -> None:
        await limits.follow(kafka)

    for kind in PARSERS:
        batch_producer = BatchProducer(producer, kafka.topics)
        validator = Validator(kind, streams.window, limits, clock_skews, batch_producer, kafka.topics)
        heartbeats = HeartbeatRelay(producer, kafka.topics)
        _add_agent(app, kafka.topics.raw(kind), streams.streams_batch_records, limits, validator, heartbeats, alarm)


def _add_agent(
    app: Any,
    topic: str,
    max_records: int,
    limits: PowerLimits,
    validator: Validator,
    heartbeats: HeartbeatRelay,
    alarm: DeadLetterAlarm,
) -> None:
    @app.agent(app.batches_of(topic), name=f"validate-{topic}")  # type: ignore[untyped-decorator]
    async def validate_batches(stream: Any) -> None:
        # Without them, a VEN with a high limit would get dead letters.
        await limits.wait()
        async for batches in merged_batches(stream, max_records):
            messages = 0
            for batch in batches:
                now = datetime.now(UTC)
                for record in batch.records:
                    heartbeat = heartbeat_of(record, now)
                    if heartbeat is None:
                        messages += 1
                        validator.validate(record, now)
                    else:
                        heartbeats.receive(record.partition, heartbeat)
            dead_letters = await validator.flush()
            # After the records that the bridge sent before them.
            await heartbeats.flush()
            alarm.count(records=messages, dead_letters=dead_letters)
