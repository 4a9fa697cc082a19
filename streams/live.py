"""Role `live`: network totals that follow the fleet from second to second; it needs no database.

Each worker keeps the last values of its partitions' VENs and publishes one partial per partition and second. Partials
go to a topic of one partition, so one worker sees them all: it keeps the latest of each in the Faust table
`network_stats` and publishes their sum.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import faust
import msgspec
from aiokafka import AIOKafkaProducer

from schemas.network import NetworkTotals, Partial, Totals, decode_partial
from schemas.readings import decode_reading, encode_record
from schemas.settings import KafkaSettings, StreamsSettings
from schemas.topics import PARTIALS, STATS, TELEMETRY
from streams.batches import Record, gathered
from streams.outbox import Outbox
from streams.rebuild import read_recent
from streams.rules.totals import PartitionTotals

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 1.0
NETWORK_SCOPE = b"network"


class Partitions:
    """The state of the partitions that this worker holds; one is published only when its state is rebuilt."""

    def __init__(self, kafka: KafkaSettings, offline_after: timedelta) -> None:
        self._kafka = kafka
        self._offline_after = offline_after
        self._held: dict[int, PartitionTotals] = {}
        self._rebuilt: set[int] = set()
        self._rebuilding: asyncio.Task[None] | None = None

    def hold(self, partitions: set[int]) -> None:
        """Hold these partitions and no others, and rebuild the new ones from the last minute of the log."""
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        self._held = {number: self._held.get(number, PartitionTotals()) for number in partitions}
        self._rebuilt &= partitions
        self._rebuilding = asyncio.create_task(self._rebuild(partitions - self._rebuilt))

    def update(self, record: Record) -> None:
        """Take a canonical reading in; a partition that is not held belongs to another worker."""
        held = self._held.get(record.partition)
        if held is None:
            return
        try:
            held.update(decode_reading(record.value or b""))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # the sink makes a dead letter of it

    def partials(self, now: datetime) -> list[Partial]:
        """Return what each rebuilt partition adds up to."""
        return [
            Partial(number, now, self._held[number].totals(now, self._offline_after))
            for number in sorted(self._rebuilt)
        ]

    async def _rebuild(self, partitions: set[int]) -> None:
        topic = self._kafka.topics(TELEMETRY)
        since = datetime.now(UTC) - self._offline_after
        await read_recent(self._kafka, topic, partitions, since, self.update)
        self._rebuilt |= partitions
        logger.info("rebuilt partitions %s", sorted(partitions), extra={"action": "live_rebuilt"})


def add_live(app: Any, kafka: KafkaSettings, streams: StreamsSettings, producer: AIOKafkaProducer) -> None:
    """Register the role's agents, its table and its timer with the app."""
    names = kafka.topics
    telemetry = names(TELEMETRY)
    partitions = Partitions(kafka, timedelta(seconds=streams.offline_after_seconds))
    for_partials, for_totals = Outbox(producer, names), Outbox(producer, names)
    network_stats = app.Table(
        "network_stats",
        partitions=1,
        schema=faust.Schema(key_type=str, value_type=bytes, key_serializer="raw", value_serializer="raw"),
    )

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def on_assigned(_app: Any, assigned: Any, **_kwargs: Any) -> None:
        partitions.hold({tp.partition for tp in assigned if tp.topic == telemetry})

    @app.agent(app.batches_of(telemetry), name="live-telemetry")  # type: ignore[untyped-decorator]
    async def follow(stream: Any) -> None:
        async for batches in gathered(stream, streams.streams_batch_records):
            for batch in batches:
                for record in batch.records:
                    partitions.update(record)

    @app.timer(PUBLISH_SECONDS)  # type: ignore[untyped-decorator]
    async def publish_partials() -> None:
        for partial in partitions.partials(datetime.now(UTC)):
            await for_partials.send(names(PARTIALS), b"%d" % partial.partition, encode_record(partial))
        await for_partials.settled()

    @app.agent(app.batches_of(names(PARTIALS)), name="live-network")  # type: ignore[untyped-decorator]
    async def add_up(stream: Any) -> None:
        async for batches in gathered(stream, streams.streams_batch_records):
            for partial in (decode_partial(record.value) for batch in batches for record in batch.records):
                network_stats[str(partial.partition)] = encode_record(partial)
            latest = [decode_partial(value) for value in network_stats.values()]
            # Until every partition has spoken the sum would be too low, and look like homes gone dark.
            if len(latest) >= kafka.kafka_partitions:
                await for_totals.send(names(STATS), NETWORK_SCOPE, encode_record(add_partials(latest)))
                await for_totals.settled()


def add_partials(partials: list[Partial]) -> NetworkTotals:
    """Add up the latest partials of all partitions (at least one)."""
    return NetworkTotals(
        as_of=min(partial.as_of for partial in partials),
        totals=sum((partial.totals for partial in partials), Totals()),
    )
