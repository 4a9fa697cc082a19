"""Role `live`: network totals that follow the fleet from second to second; it needs no database.

Each worker keeps the last values of its partitions' VENs and publishes one partial per partition and second. Partials
go to a topic of one partition, so one worker sees them all: it keeps the latest of each in the Faust table
`network_stats` and publishes their sum. docs/explanation/live-totals.md says what the totals promise.
"""

import logging
import time
from collections.abc import Callable, Container, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.records.network import (
    MAX_CLOCK_DIFFERENCE,
    NETWORK_SCOPE,
    TYPE_SCOPE,
    NetworkTotals,
    Partial,
    ScopeTotals,
    Totals,
    decode_partial,
)
from schemas.records.telemetry import encode_record
from schemas.records.topics import LIVE_LOADS, PARTIALS, STATS, TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.batch_consumer import Batch
from streams.engine.batch_processing import merged_batches
from streams.engine.batch_producer import BatchProducer
from streams.live.aggregation import added
from streams.live.partition_state import AssignedPartitions

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 1.0
STOOD_STILL_SECONDS = 5 * PUBLISH_SECONDS
_EVER = datetime.min.replace(tzinfo=UTC)


def add_live(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, telemetry_partitions: int
) -> Callable[[], bool]:
    """Register the role's agents, its table and its timer with the app.

    Returns whether the state of all partitions held is restored.
    """
    assigned = AssignedPartitions(kafka, timedelta(seconds=streams.offline_after_seconds), group=app.conf.id)
    _follow_vens(app, kafka.topics(TELEMETRY), streams.streams_batch_records, assigned)
    _publish_partials(app, kafka, BatchProducer(producer, kafka.topics), assigned)
    _add_up_partials(
        app, kafka, streams.streams_batch_records, BatchProducer(producer, kafka.topics), telemetry_partitions
    )
    return lambda: assigned.restored


def _follow_vens(app: Any, topic: str, max_records: int, assigned: AssignedPartitions) -> None:
    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def on_assigned(_app: Any, partitions: Any, **_kwargs: Any) -> None:
        assigned.assign({tp.partition for tp in partitions if tp.topic == topic})

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def on_revoked(_app: Any, _revoked: Any, **_kwargs: Any) -> None:
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
        if last - previous > STOOD_STILL_SECONDS:
            # What was not read yet is no silence of VENs.
            assigned.invalidate()
        for partial in assigned.partials():
            batch_producer.send(kafka.topics(PARTIALS), b"%d" % partial.partition, encode_record(partial))
        for partition, ven_id, loads in assigned.notes():
            value = None if loads is None else encode_record(loads)
            batch_producer.send(kafka.topics(LIVE_LOADS), ven_id.encode(), value, partition=partition)
        await batch_producer.flush()


def _add_up_partials(
    app: Any, kafka: KafkaSettings, max_records: int, batch_producer: BatchProducer, telemetry_partitions: int
) -> None:
    # Others may be left in the table from a topic that had more.
    partitions = range(telemetry_partitions)
    network_stats = app.Table("network_stats", partitions=1, key_type=str, value_type=bytes)

    @app.agent(app.batches_of(kafka.topics(PARTIALS)), name="live-network")  # type: ignore[untyped-decorator]
    async def add_up(stream: Any) -> None:
        async for batches in merged_batches(stream, max_records):
            for partial in _decoded(batches, partitions):
                known = network_stats.get(str(partial.partition))
                # Whoever has come farther knows better: a worker that stood still may speak after its successor.
                if known is None or (partial.as_of or _EVER) >= (decode_partial(known).as_of or _EVER):
                    network_stats[str(partial.partition)] = encode_record(partial)
            latest = [
                partial for partial in map(decode_partial, network_stats.values()) if partial.partition in partitions
            ]
            # Until every partition has spoken the sum would be too low, and look like homes gone dark.
            if len(latest) == telemetry_partitions:
                stats = add_partials(latest)
                for name, totals in stats.load_types.items():
                    scope = TYPE_SCOPE + name
                    batch_producer.send(
                        kafka.topics(STATS), scope.encode(), encode_record(ScopeTotals(stats.as_of, totals))
                    )
                # Last of all, so that the end of the topic is a total of the network.
                batch_producer.send(kafka.topics(STATS), NETWORK_SCOPE.encode(), encode_record(stats))
                await batch_producer.flush()


def _decoded(batches: Iterable[Batch], partitions: Container[int]) -> Iterable[Partial]:
    """Others may write here, too: one that is none, or of no partition, or of the future, must not stay for ever."""
    latest = datetime.now(UTC) + MAX_CLOCK_DIFFERENCE
    for record in (record for batch in batches for record in batch.records):
        try:
            partial = decode_partial(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            logger.warning("not a partial: %s", error, extra={"action": "partial_skipped"})
            continue
        if partial.partition in partitions and (partial.as_of is None or partial.as_of <= latest):
            yield msgspec.structs.replace(partial, load_types=added([partial.load_types]))


def add_partials(partials: list[Partial]) -> NetworkTotals:
    """Add up the latest partials of all partitions; one that nothing ever came through is not old, but empty."""
    came = [partial.as_of for partial in partials if partial.as_of is not None]
    return NetworkTotals(
        as_of=min(came, default=datetime.now(UTC)),
        totals=sum((partial.totals for partial in partials), Totals()),
        load_types=added(partial.load_types for partial in partials),
    )
