"""Role `live`: network totals that follow the fleet from second to second; it needs no database.

Each worker keeps the last values of its partitions' VENs and publishes one partial per partition and second. Partials
go to a topic of one partition, so one worker sees them all: it keeps the latest of each in the Faust table
`network_stats` and publishes their sum. docs/live-totals.md says what the totals promise.
"""

import logging
import time
from collections.abc import Callable, Container, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.network import (
    CLOCKS_APART,
    NETWORK_SCOPE,
    TYPE_SCOPE,
    NetworkTotals,
    Partial,
    ScopeTotals,
    Totals,
    decode_partial,
)
from schemas.readings import encode_record
from schemas.settings import KafkaSettings, StreamsSettings
from schemas.topics import LIVE_LOADS, PARTIALS, STATS, TELEMETRY
from streams.batches import Batch
from streams.gathering import gathered
from streams.holdings import Holdings
from streams.outbox import Outbox
from streams.rules.totals import added

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
    holdings = Holdings(kafka, timedelta(seconds=streams.offline_after_seconds), group=app.conf.id)
    _follow_vens(app, kafka.topics(TELEMETRY), streams.streams_batch_records, holdings)
    _publish_partials(app, kafka, Outbox(producer, kafka.topics), holdings)
    _add_up_partials(app, kafka, streams.streams_batch_records, Outbox(producer, kafka.topics), telemetry_partitions)
    return lambda: holdings.restored


def _follow_vens(app: Any, topic: str, most_records: int, holdings: Holdings) -> None:
    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def on_assigned(_app: Any, assigned: Any, **_kwargs: Any) -> None:
        holdings.hold({tp.partition for tp in assigned if tp.topic == topic})

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def on_revoked(_app: Any, _revoked: Any, **_kwargs: Any) -> None:
        holdings.hold(set())

    @app.agent(app.batches_of(*holdings.topics), name="live-vens")  # type: ignore[untyped-decorator]
    async def follow(stream: Any) -> None:
        async for batches in gathered(stream, most_records):
            for batch in batches:
                for record in batch.records:
                    holdings.update(record)


def _publish_partials(app: Any, kafka: KafkaSettings, outbox: Outbox, holdings: Holdings) -> None:
    last = time.monotonic()

    @app.timer(PUBLISH_SECONDS)  # type: ignore[untyped-decorator]
    async def publish() -> None:
        nonlocal last
        previous, last = last, time.monotonic()
        if last - previous > STOOD_STILL_SECONDS:
            # What was not read yet is no silence of VENs.
            holdings.distrust()
        for partial in holdings.partials():
            outbox.send(kafka.topics(PARTIALS), b"%d" % partial.partition, encode_record(partial))
        for partition, ven_id, loads in holdings.notes():
            value = None if loads is None else encode_record(loads)
            outbox.send(kafka.topics(LIVE_LOADS), ven_id.encode(), value, partition=partition)
        await outbox.settled()


def _add_up_partials(
    app: Any, kafka: KafkaSettings, most_records: int, outbox: Outbox, telemetry_partitions: int
) -> None:
    # Others may be left in the table from a topic that had more.
    partitions = range(telemetry_partitions)
    network_stats = app.Table("network_stats", partitions=1, key_type=str, value_type=bytes)

    @app.agent(app.batches_of(kafka.topics(PARTIALS)), name="live-network")  # type: ignore[untyped-decorator]
    async def add_up(stream: Any) -> None:
        async for batches in gathered(stream, most_records):
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
                    outbox.send(kafka.topics(STATS), scope.encode(), encode_record(ScopeTotals(stats.as_of, totals)))
                # Last of all, so that the end of the topic is a total of the network.
                outbox.send(kafka.topics(STATS), NETWORK_SCOPE.encode(), encode_record(stats))
                await outbox.settled()


def _decoded(batches: Iterable[Batch], partitions: Container[int]) -> Iterable[Partial]:
    """Others may write here, too: one that is none, or of no partition, or of the future, must not stay for ever."""
    latest = datetime.now(UTC) + CLOCKS_APART
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
