"""Role `live`: network totals that follow the fleet from second to second; it needs no database.

Each worker keeps the last values of its partitions' VENs and publishes one partial per partition and second. Partials
go to a topic of one partition, so one worker sees them all: it keeps the latest of each in the Faust table
`network_stats` and publishes their sum.
"""

import logging
import time
from collections.abc import Container, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.network import CLOCKS_APART, NetworkTotals, Partial, Totals, decode_partial
from schemas.readings import encode_record
from schemas.settings import KafkaSettings, StreamsSettings
from schemas.topics import PARTIALS, STATS, TELEMETRY
from streams.batches import Batch, gathered
from streams.holdings import Holdings
from streams.outbox import Outbox

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 1.0
STOOD_STILL_SECONDS = 5 * PUBLISH_SECONDS
NETWORK_SCOPE = b"network"


def add_live(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer, telemetry_partitions: int
) -> None:
    """Register the role's agents, its table and its timer with the app."""
    holdings = Holdings(kafka, timedelta(seconds=streams.offline_after_seconds))
    _follow_vens(app, kafka.topics(TELEMETRY), streams.streams_batch_records, holdings)
    _publish_partials(app, kafka.topics(PARTIALS), Outbox(producer, kafka.topics), holdings)
    _add_up_partials(app, kafka, streams.streams_batch_records, Outbox(producer, kafka.topics), telemetry_partitions)


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


def _publish_partials(app: Any, topic: str, outbox: Outbox, holdings: Holdings) -> None:
    last = time.monotonic()

    @app.timer(PUBLISH_SECONDS)  # type: ignore[untyped-decorator]
    async def publish() -> None:
        nonlocal last
        previous, last = last, time.monotonic()
        if last - previous > STOOD_STILL_SECONDS:
            # What was not read yet is no silence of VENs.
            holdings.distrust()
        for partial in holdings.partials(datetime.now(UTC)):
            await outbox.send(topic, b"%d" % partial.partition, encode_record(partial))
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
                if known is None or partial.as_of > decode_partial(known).as_of:
                    network_stats[str(partial.partition)] = encode_record(partial)
            latest = [
                partial for partial in map(decode_partial, network_stats.values()) if partial.partition in partitions
            ]
            # Until every partition has spoken the sum would be too low, and look like homes gone dark.
            if len(latest) == telemetry_partitions:
                await outbox.send(kafka.topics(STATS), NETWORK_SCOPE, encode_record(add_partials(latest)))
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
        if partial.partition in partitions and partial.as_of <= latest:
            yield partial


def add_partials(partials: list[Partial]) -> NetworkTotals:
    """Add up the latest partials of all partitions (at least one)."""
    return NetworkTotals(
        as_of=min(partial.as_of for partial in partials),
        totals=sum((partial.totals for partial in partials), Totals()),
    )
