"""Role `live` on a real Kafka: totals are exact despite repeats, late readings and restarts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from gateway.stack.polling import wait_until
from schemas.parsing.status import VenStatus
from schemas.records.network import Heartbeat, NetworkTotals, Partial, Totals, decode_network_totals
from schemas.records.telemetry import Load, LoadSnapshot, Reading, encode_record
from schemas.records.topics import HEARTBEATS, LOADS, PARTIALS, STATS, STATUS, TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.config import StreamsConfig
from streams.live.assigned_partitions import AssignedPartitions
from streams.live.network_totals import sum_partials
from streams.main import run_role
from tests.support.kafka_records import Writer, read_all, writer
from tests.support.servers import committed

WAIT = 60
VENS = 20
PARTITIONS = 2


@asynccontextmanager
async def live(kafka: KafkaSettings) -> AsyncIterator[asyncio.Task[None]]:
    """The role as its process runs it; it must not end before it is told to."""
    stop = asyncio.Event()
    role = asyncio.create_task(run_role(StreamsConfig("live", kafka, StreamsSettings(), None), stop))
    try:
        yield role
        assert not role.done(), "the role crashed"
    finally:
        stop.set()
        await role


def reading(number: int, moment: datetime, used: float, received: datetime | None = None) -> Reading:
    loads = (
        Load("hvac", capacity_kw=7.0, current_power_kw=2.0, shed_capability_kw=1.5),
        Load("fridge", capacity_kw=1.0, current_power_kw=0.25, shed_capability_kw=0.0),
    )
    return Reading(
        ven_id=f"ven-{number}",
        timestamp=moment,
        received_at=received or datetime.now(UTC),
        used_power_kw=used,
        shed_power_kw=0.5,
        loads=loads,
    )


async def publish(log: Writer, kafka: KafkaSettings, readings: list[Reading]) -> None:
    for partition in range(PARTITIONS):
        mine = [encode_record(each) for each in readings if int(each.ven_id[4:]) % PARTITIONS == partition]
        if mine:
            await log.together(kafka.topics(TELEMETRY), mine, partition)


async def publish_heartbeats(log: Writer, kafka: KafkaSettings, *moments: datetime) -> None:
    """What comes through while the pipeline moves."""
    for partition in range(PARTITIONS):
        await log.together(
            kafka.topics(HEARTBEATS), [encode_record(Heartbeat(moment)) for moment in moments], partition
        )


async def published(kafka: KafkaSettings) -> list[NetworkTotals]:
    records = await read_all(kafka, kafka.topics(STATS))
    return [decode_network_totals(record.value) for record in records if record.key == b"network"]


async def latest(kafka: KafkaSettings) -> Totals | None:
    return totals[-1].totals if (totals := await published(kafka)) else None


async def until_totals(kafka: KafkaSettings, expected: Totals) -> bool:
    async def reached() -> bool:
        return await latest(kafka) == expected

    return await wait_until(reached, WAIT, every=0.2)


async def until_more(kafka: KafkaSettings, role: asyncio.Task[None], number: int) -> bool:
    async def more() -> bool:
        return role.done() or len(await published(kafka)) > number

    return await wait_until(more, WAIT, every=0.2)


def totals_of(vens: int, used: float) -> Totals:
    return Totals(
        online_vens=vens,
        household_usage_kw=used,
        current_load_reduction_kw=0.5 * vens,
        controllable_power_kw=2.0 * vens,
        potential_load_reduction_kw=1.5 * vens,
    )


async def test_repeats_and_late_readings_change_no_totals(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    fleet = [reading(number, now, used=1.0) for number in range(VENS)]
    async with writer(kafka) as log, live(kafka):
        await publish(log, kafka, fleet)
        assert await until_totals(kafka, totals_of(VENS, 20.0))
        late = [reading(number, now - timedelta(minutes=5), used=100.0) for number in range(VENS)]
        # The pipeline went on after the last that was heard of these.
        silent = [reading(VENS + 1, now, used=7.0, received=now - timedelta(minutes=2))]
        await publish_heartbeats(log, kafka, *(now - timedelta(seconds=5 * number) for number in range(30)))
        await publish(log, kafka, fleet + late + fleet[:3] + silent)
        await publish(log, kafka, [reading(0, now + timedelta(seconds=1), used=5.0)])
        assert await until_totals(kafka, totals_of(VENS, 24.0))
        seen = {each.totals.household_usage_kw for each in await published(kafka) if each.totals.online_vens == VENS}
    assert seen <= {20.0, 24.0}


async def test_totals_do_not_dip_on_a_restart(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    async with writer(kafka) as log:
        async with live(kafka):
            await publish(log, kafka, [reading(number, now, used=1.0) for number in range(VENS)])
            assert await until_totals(kafka, totals_of(VENS, 20.0))

            async def all_acknowledged() -> bool:
                return sum((await committed(kafka, "live", kafka.topics(TELEMETRY))).values()) == VENS

            assert await wait_until(all_acknowledged, WAIT)
        before = len(await published(kafka))
        async with live(kafka) as role:
            assert await until_more(kafka, role, before + 2 * PARTITIONS)
    assert {each.totals for each in (await published(kafka))[before:]} == {totals_of(VENS, 20.0)}


async def test_partials_from_before_a_restart_count(kafka: KafkaSettings) -> None:
    async with writer(kafka) as log:
        async with live(kafka):
            await publish(log, kafka, [reading(number, datetime.now(UTC), used=1.0) for number in range(VENS)])
            assert await until_totals(kafka, totals_of(VENS, 20.0))
        before = len(await published(kafka))
        # What another worker publishes meanwhile: one partition speaks, the other is known from the table only.
        partial = Partial(0, datetime.now(UTC), totals_of(VENS // 2, 10.0))
        await log.one(kafka.topics(PARTIALS), encode_record(partial), key=b"0")
        async with live(kafka) as role:
            assert await until_more(kafka, role, before)


async def test_impossible_powers_do_not_stop_the_totals(kafka: KafkaSettings) -> None:
    async with writer(kafka) as log, live(kafka):
        now = datetime.now(UTC)
        await publish(log, kafka, [reading(number, now, used=1.7e308) for number in (0, 2)])
        await publish(log, kafka, [reading(number, now, used=1.0) for number in (1, 3)])

        assert await until_totals(kafka, totals_of(2, 2.0))


async def test_stalled_worker_publishes_only_after_state_restore(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    partitions = AssignedPartitions(kafka, timedelta(minutes=1))

    async def rebuilt() -> bool:
        return len(partitions.partials()) == PARTITIONS

    async with writer(kafka) as log:
        await publish(log, kafka, [reading(number, now, used=1.0) for number in range(VENS)])
        partitions.assign(set(range(PARTITIONS)))
        assert await wait_until(rebuilt, WAIT)
        # The log went on while the worker stood still.
        later = now + timedelta(seconds=5)
        await publish(log, kafka, [reading(number, later, used=2.0) for number in range(VENS)])
        partitions.invalidate()
        assert partitions.partials() == []
        assert await wait_until(rebuilt, WAIT)
    assert sum_partials(partitions.partials()).totals == totals_of(VENS, 2.0 * VENS)


async def test_revoked_partition_is_not_published(kafka: KafkaSettings) -> None:
    partitions = AssignedPartitions(kafka, timedelta(minutes=1))
    partitions.assign({0, 1})
    assert await wait_until(lambda: len(partitions.partials()) == 2, WAIT)
    partitions.assign({1})
    assert [partial.partition for partial in partitions.partials()] == [1]
    partitions.assign(set())
    assert partitions.partials() == []


async def publish_status(log: Writer, kafka: KafkaSettings, number: int, status: str) -> None:
    word = VenStatus(ven_id=f"ven-{number}", received_at=datetime.now(UTC), status=status)
    await log.one(kafka.topics(STATUS), encode_record(word), number % PARTITIONS)


async def test_last_will_counts_across_a_restart_until_next_reading(
    kafka: KafkaSettings,
) -> None:
    now = datetime.now(UTC)
    async with writer(kafka) as log:
        async with live(kafka):
            await publish(log, kafka, [reading(number, now, used=1.0) for number in range(VENS)])
            assert await until_totals(kafka, totals_of(VENS, 20.0))
            await publish_status(log, kafka, 3, "ready")
            await publish_status(log, kafka, 4, "offline")
            assert await until_totals(kafka, totals_of(VENS - 1, 19.0))
        before = len(await published(kafka))
        # One that was on its way says nothing new of the VEN that left; whoever starts now has both to read.
        late = reading(4, now + timedelta(seconds=1), used=7.0, received=now)
        await publish(log, kafka, [late])
        async with live(kafka) as role:
            assert await until_more(kafka, role, before + 2 * PARTITIONS)
            assert {each.totals for each in (await published(kafka))[before:]} == {totals_of(VENS - 1, 19.0)}
            await publish(log, kafka, [reading(4, now + timedelta(seconds=2), used=2.0)])
            assert await until_totals(kafka, totals_of(VENS, 21.0))


async def test_load_snapshot_updates_shed_capability(kafka: KafkaSettings) -> None:
    now = datetime.now(UTC)
    kiln = Load("kiln", current_power_kw=9.0, shed_capability_kw=8.0)

    def snapshot(ven_id: str) -> bytes:
        measured = now + timedelta(seconds=1)
        return encode_record(LoadSnapshot(ven_id=ven_id, timestamp=measured, received_at=now, loads=(kiln,)))

    async with writer(kafka) as log, live(kafka):
        await publish(log, kafka, [reading(0, now, used=1.0)])
        assert await until_totals(kafka, totals_of(1, 1.0))
        # Garbage among them, and a VEN that no reading has made online.
        for value in (b"junk", b"", snapshot("ven-0"), snapshot("ven-2")):
            await log.one(kafka.topics(LOADS), value, partition=0)
        await log.one(kafka.topics(STATUS), b"junk", partition=0)
        assert await until_totals(kafka, Totals(1, 1.0, 0.5, 9.0, 8.0))
