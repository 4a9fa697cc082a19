"""Live totals during stalls, after restarts with rarely reported loads, and with disabled VENs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gateway.stack.polling import wait_until
from runtime.database import Connection
from runtime.kafka import producer
from schemas.records.network import Disabled, LoadTypeTotals, Totals
from schemas.records.telemetry import Load, LoadSnapshot, encode_record
from schemas.records.topics import DISABLED, LIVE_LOADS, LOADS, TELEMETRY
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.live.assigned_partitions import AssignedPartitions
from streams.live.network_totals import sum_partials
from streams.outbox.publisher import OutboxPublisher
from streams.sink.disabled_ven_outbox_source import disabled_ven_source
from streams.store.database import database as open_database
from tests.integration.streams.live.test_network_totals import (
    PARTITIONS,
    VENS,
    WAIT,
    publish,
    publish_heartbeats,
    reading,
    totals_of,
)
from tests.support.kafka_records import Writer, read_all, writer

MINUTE = timedelta(minutes=1)
KILN = Load("kiln", type="kiln", capacity_kw=10.0, current_power_kw=9.0, shed_capability_kw=8.0)


async def restored_partitions(kafka: KafkaSettings) -> AssignedPartitions:
    """What a worker knows that has just started."""
    partitions = AssignedPartitions(kafka, MINUTE, group=f"{kafka.kafka_topic_prefix}gateway-live")
    partitions.assign(set(range(PARTITIONS)))
    assert await wait_until(lambda: len(partitions.partials()) == PARTITIONS, WAIT)
    return partitions


async def move_pipeline(log: Writer, kafka: KafkaSettings, begin: datetime, end: datetime) -> None:
    """Publish a heartbeat for each second."""
    seconds = range(int((end - begin).total_seconds()) + 1)
    await publish_heartbeats(log, kafka, *(begin + timedelta(seconds=second) for second in seconds))


async def test_totals_stay_and_age_during_a_stall(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    stopped = now - timedelta(hours=1)
    async with writer(kafka) as log:
        await publish(log, kafka, [reading(n, stopped, 1.0, received=stopped) for n in range(VENS)])
        silent = [reading(VENS + n, stopped, 1.0, received=stopped - 2 * MINUTE) for n in range(2)]
        await publish(log, kafka, silent)
        await move_pipeline(log, kafka, stopped - 3 * MINUTE, stopped)

        stats = sum_partials((await restored_partitions(kafka)).partials())
        assert (stats.totals, stats.as_of) == (totals_of(VENS, VENS), stopped)

        # It goes on, and nobody is taken for silent who had no chance to speak.
        goes_on = now - 2 * MINUTE
        await move_pipeline(log, kafka, goes_on, goes_on + MINUTE / 2)
        assert sum_partials((await restored_partitions(kafka)).partials()).totals == totals_of(VENS, VENS)
        # Some do not come back.
        back = [reading(n, goes_on, 2.0, received=goes_on + MINUTE / 2) for n in range(VENS // 2)]
        await publish(log, kafka, back)
        await move_pipeline(log, kafka, goes_on + MINUTE / 2, goes_on + MINUTE)
        await move_pipeline(log, kafka, goes_on + MINUTE, goes_on + MINUTE + timedelta(seconds=5))
        stats = sum_partials((await restored_partitions(kafka)).partials())
        assert stats.totals == totals_of(VENS // 2, VENS)


async def test_unused_partition_does_not_age_the_totals(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    async with writer(kafka) as log:
        await publish(log, kafka, [reading(0, now, 1.0, received=now)])
        stats = sum_partials((await restored_partitions(kafka)).partials())
    assert (stats.as_of, stats.totals.online_vens) == (now, 1)


async def test_rarely_reported_loads_survive_a_restart(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    listed = now - timedelta(minutes=40)
    expected = Totals(1, 3.0, 0.0, 9.0, 8.0)
    async with writer(kafka) as log:
        snapshot = LoadSnapshot(ven_id="ven-0", timestamp=listed, received_at=listed, loads=(KILN,))
        one = reading(0, now, 3.0, received=now)
        bare = type(one)(ven_id="ven-0", timestamp=now, received_at=now, used_power_kw=3.0)
        await log.one(kafka.topics(TELEMETRY), encode_record(bare), partition=0)
        await move_pipeline(log, kafka, now - 2 * MINUTE, now)
        before = await restored_partitions(kafka)
        # Long ago, so that it is not found in the last minutes of the log.
        before.update(_Record(kafka.topics(LOADS), encode_record(snapshot)))
        assert sum_partials(before.partials()).totals == expected
        due_checkpoints = list(before.due_checkpoints())
        assert [(partition, ven_id) for partition, ven_id, _ in due_checkpoints] == [(0, "ven-0")]
        assert list(before.due_checkpoints()) == []
        for partition, ven_id, loads in due_checkpoints:
            await log.one(kafka.topics(LIVE_LOADS), encode_record(loads), partition, key=ven_id.encode())

        after = await restored_partitions(kafka)
        stats = sum_partials(after.partials())
        assert stats.totals == expected
        assert stats.load_types == {"kiln": LoadTypeTotals(10.0, 8.0, 9.0)}
        assert list(after.due_checkpoints()) == []


class _Record:
    """A record of partition 0."""

    partition = 0
    offset = 0
    key = b"ven-0"

    def __init__(self, topic: str, value: bytes) -> None:
        self.topic = topic
        self.value = value


async def test_records_arrive_while_checkpoints_are_written(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    async with writer(kafka) as log:
        await move_pipeline(log, kafka, now - 2 * MINUTE, now)
        partitions = await restored_partitions(kafka)

    def update_ven_loads(ven_id: str) -> None:
        listed = now - MINUTE
        snapshot = LoadSnapshot(ven_id=ven_id, timestamp=listed, received_at=listed, loads=(KILN,))
        partitions.update(_Record(kafka.topics(LOADS), encode_record(snapshot)))

    for number in range(3):
        update_ven_loads(f"ven-{number}")
    for _, ven_id, _ in partitions.due_checkpoints():
        update_ven_loads(f"another-{ven_id}")
    assert [ven_id for _, ven_id, _ in partitions.due_checkpoints()] == [f"another-ven-{number}" for number in range(3)]


async def test_disabled_ven_leaves_the_totals_until_enabled(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    now = datetime.now(UTC)

    async def changed(log: AIOKafkaProducer) -> AssignedPartitions:
        async with open_database(database, "test") as opened:
            await OutboxPublisher(opened, log, disabled_ven_source(kafka.topics(DISABLED))).publish_pending()
        return await restored_partitions(kafka)

    async with producer(kafka, "test") as log:
        one = reading(0, now, 3.0, received=now)
        await log.send_and_wait(kafka.topics(TELEMETRY), encode_record(one), key=b"ven-0")
        await rows.execute("INSERT INTO vens (ven_id, name, status) VALUES ('ven-0', 'x', 'disabled'), ('y', 'y', 'x')")
        assert sum_partials((await changed(log)).partials()).totals == Totals()
        told = len(await read_all(kafka, kafka.topics(DISABLED)))
        await changed(log)
        assert len(await read_all(kafka, kafka.topics(DISABLED))) == told == 1
        await rows.execute("UPDATE vens SET status = 'offline'")
        partitions = await changed(log)
        assert sum_partials(partitions.partials()).totals.online_vens == 1
        # What stands before the last word says nothing, whoever reads it when.
        (first, _) = await read_all(kafka, kafka.topics(DISABLED))
        partitions.update(first)
        assert sum_partials(partitions.partials()).totals.online_vens == 1


async def test_disabled_vens_are_right_after_a_publication_that_was_not_confirmed(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    topic = kafka.topics(DISABLED)
    async with producer(kafka, "test") as log, open_database(database, "test") as opened:

        class Forgetful:
            def __getattr__(self, name: str) -> Any:
                return getattr(log, name)

            async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
                await log.send_batch(*args, **kwargs)
                await log.flush()
                raise KafkaError("Kafka has it all the same")

        async def change(statement: str, by: Any) -> bytes:
            await rows.execute(statement)
            await OutboxPublisher(opened, by, disabled_ven_source(topic)).publish_pending()
            return (await read_all(kafka, topic))[-1].value or b""

        disabled = encode_record(Disabled("ven-0"))
        disable, enable = "UPDATE vens SET status = 'disabled'", "UPDATE vens SET status = 'offline'"
        await rows.execute("INSERT INTO vens (ven_id, name) VALUES ('ven-0', 'x')")
        await change(disable, Forgetful())
        assert await change(enable, log) == b""
        assert await change(disable, log) == disabled
        await change(enable, Forgetful())
        assert await change(disable, log) == disabled
        assert await change("DELETE FROM vens", log) == b""
