"""The Faust agents, timer and table of the role `live`.

Each worker keeps the latest values of its partitions' VENs and publishes one partial per partition and second. The
partials' topic has one partition, so one worker receives them all. It keeps the latest partial of each partition in the
Faust table `network_stats` and publishes their sum. The role needs no database. docs/explanation/live-totals.md says
what the totals promise.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.records.network import NETWORK_SCOPE, TYPE_SCOPE, ScopeTotals, decode_partial
from schemas.records.telemetry import encode_record
from schemas.records.topics import LIVE_LOADS, PARTIALS, STATS, TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.batch_processing import merged_batches
from streams.engine.batch_producer import BatchProducer
from streams.live.assigned_partitions import AssignedPartitions
from streams.live.network_totals import decode_partials, sum_partials

PUBLISH_SECONDS = 1.0
STALL_SECONDS = 5 * PUBLISH_SECONDS
_NEVER = datetime.min.replace(tzinfo=UTC)


def add_live(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, telemetry_partitions: int
) -> Callable[[], bool]:
    """Register the agents, the table and the timer with the app.

    Returns whether the states of all assigned partitions are restored.
    """
    assigned = AssignedPartitions(kafka, timedelta(seconds=streams.offline_after_seconds), group=app.conf.id)
    _follow_vens(app, kafka.topics(TELEMETRY), streams.streams_batch_records, assigned)
    _publish_partials(app, kafka, BatchProducer(producer, kafka.topics), assigned)
    _publish_totals(
        app, kafka, streams.streams_batch_records, BatchProducer(producer, kafka.topics), telemetry_partitions
    )
    return lambda: assigned.restored


def _follow_vens(app: Any, topic: str, max_records: int, assigned: AssignedPartitions) -> None:
    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def on_assigned(_app: Any, partitions: Any, **_kwargs: Any) -> None:
        assigned.assign({tp.partition for tp in partitions if tp.topic == topic})

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def on_revoked(_app: Any, _partitions: Any, **_kwargs: Any) -> None:
        assigned.assign(set())

    @app.agent(app.batches_of(*assigned.topics), name="live-vens")  # type: ignore[untyped-decorator]
    async def follow(stream: Any) -> None:
        async for batches in merged_batches(stream, max_records):
            for batch in batches:
                for record in batch.records:
                    assigned.update(record)


def _publish_partials(
    app: Any, kafka: KafkaSettings, batch_producer: BatchProducer, assigned: AssignedPartitions
) -> None:
    last = time.monotonic()

    @app.timer(PUBLISH_SECONDS)  # type: ignore[untyped-decorator]
    async def publish() -> None:
        nonlocal last
        previous, last = last, time.monotonic()
        if last - previous > STALL_SECONDS:
            # VENs only seem silent: this worker has not read their records yet.
            assigned.invalidate()
        for partial in assigned.partials():
            batch_producer.send(kafka.topics(PARTIALS), b"%d" % partial.partition, encode_record(partial))
        for partition, ven_id, loads in assigned.due_checkpoints():
            value = None if loads is None else encode_record(loads)
            batch_producer.send(kafka.topics(LIVE_LOADS), ven_id.encode(), value, partition=partition)
        await batch_producer.flush()


def _publish_totals(
    app: Any, kafka: KafkaSettings, max_records: int, batch_producer: BatchProducer, telemetry_partitions: int
) -> None:
    # The table may still hold others, of a topic that had more partitions.
    partitions = range(telemetry_partitions)
    network_stats = app.Table("network_stats", partitions=1, key_type=str, value_type=bytes)

    @app.agent(app.batches_of(kafka.topics(PARTIALS)), name="live-network")  # type: ignore[untyped-decorator]
    async def add_up(stream: Any) -> None:
        async for batches in merged_batches(stream, max_records):
            for partial in decode_partials(batches, partitions):
                known = network_stats.get(str(partial.partition))
                # The later state is right: a worker that stalled may publish after its successor.
                if known is None or (partial.as_of or _NEVER) >= (decode_partial(known).as_of or _NEVER):
                    network_stats[str(partial.partition)] = encode_record(partial)
            latest = [
                partial for partial in map(decode_partial, network_stats.values()) if partial.partition in partitions
            ]
            # Without all partitions the sum would be too low.
            if len(latest) == telemetry_partitions:
                stats = sum_partials(latest)
                for name, totals in stats.load_types.items():
                    scope = TYPE_SCOPE + name
                    value = encode_record(ScopeTotals(stats.as_of, totals))
                    batch_producer.send(kafka.topics(STATS), scope.encode(), value)
                # Last, so that the topic ends with the totals of the network.
                batch_producer.send(kafka.topics(STATS), NETWORK_SCOPE.encode(), encode_record(stats))
                await batch_producer.flush()
