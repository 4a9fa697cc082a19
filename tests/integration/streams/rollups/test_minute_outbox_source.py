"""ven.telemetry.1m: whatever comes late, twice or between restarts, the last version is what all readings say."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.database import Connection
from runtime.kafka import producer
from schemas.records.minutes import Minute, Power, decode_minute
from schemas.records.telemetry import Reading
from schemas.records.topics import MINUTES
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from schemas.tables.buckets import MINUTE, floor_to
from streams.outbox.publisher import OutboxPublisher
from streams.rollups.job import CLOSED_AFTER
from streams.rollups.minute_outbox_source import minute_source
from tests.support.kafka_records import read_all
from tests.support.readings import NOON, reading
from tests.support.rollups import rolling, some


class Losing:
    """A producer whose process is killed now and then: after the log has the records, before that is noted."""

    def __init__(self, inner: AIOKafkaProducer, choose: random.Random) -> None:
        self._inner = inner
        self._choose = choose

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        sent = await self._inner.send_batch(*args, **kwargs)
        if self._choose.random() < 0.1:
            await self._inner.flush()
            raise RuntimeError("killed")
        return sent


class Refusing:
    """A producer that hands over some batches; the others it refuses."""

    def __init__(self, inner: AIOKafkaProducer, batches: int) -> None:
        self._inner = inner
        self._batches = batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        self._batches -= 1
        if self._batches < 0:
            raise KafkaError("refused")
        return await self._inner.send_batch(*args, **kwargs)


def naive(readings: dict[tuple[str, datetime], Reading], until: datetime) -> dict[tuple[str, datetime], Any]:
    """What each minute before `until` comes to, from all its readings."""
    minutes: dict[tuple[str, datetime], list[Reading]] = {}
    for one in sorted(readings.values(), key=lambda one: one.timestamp):
        if one.timestamp < until:
            minutes.setdefault((one.ven_id, floor_to(one.timestamp, MINUTE)), []).append(one)
    return {key: figures(of) for key, of in minutes.items()}


def figures(of: list[Reading]) -> tuple[Any, ...]:
    def power(values: list[float]) -> tuple[float, ...] | None:
        if not values:
            return None
        mean = sum(values) / len(values)
        return tuple(round(value, 6) for value in (len(values), mean, min(values), max(values)))

    events = [one.event_id for one in of if one.event_id is not None]
    asked = [one.requested_reduction_kw for one in of if one.requested_reduction_kw is not None]
    return (
        len(of),
        power([one.used_power_kw for one in of if one.used_power_kw is not None]),
        power([one.shed_power_kw for one in of if one.shed_power_kw is not None]),
        events[-1] if events else None,
        asked[-1] if asked else None,
    )


def told(minute: Minute) -> tuple[Any, ...]:
    def power(of: Any) -> tuple[float, ...] | None:
        if of is None or not of.samples:
            return None
        return tuple(round(value, 6) for value in (of.samples, of.mean_kw, of.min_kw, of.max_kw))

    return (
        minute.samples,
        power(minute.used),
        power(minute.shed),
        minute.event_id,
        minute.requested_reduction_kw,
    )


async def last_versions(kafka: KafkaSettings) -> dict[tuple[str, datetime], Minute]:
    last: dict[tuple[str, datetime], Minute] = {}
    for record in await read_all(kafka, kafka.topics(MINUTES)):
        minute = decode_minute(record.value)
        assert record.key == minute.ven_id.encode()
        known = last.get((minute.ven_id, minute.minute))
        if known is not None and known.version == minute.version:
            assert known == minute, "two of one version differ"
        if known is None or minute.version >= known.version:
            last[minute.ven_id, minute.minute] = minute
    return last


async def test_the_last_version_of_each_minute_is_what_all_readings_say(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    # A kill comes between two pieces of a minute, too.
    source = replace(minute_source(kafka.topics(MINUTES)), rows_at_once=2)
    choose = random.Random(11)
    readings: dict[tuple[str, datetime], Reading] = {}
    crashes = 0
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        for minutes in (1, 3, 3, 20, 21, 40, 61, 90, 150):
            # Of the whole two hours and a half, late and early, some of them twice.
            more = [*some(choose, 40, 2.5), *choose.sample(list(readings.values()), k=min(5, len(readings)))]
            await store.readings.store(more)
            for one in more:
                readings.setdefault((one.ven_id, one.timestamp), one)
            now = NOON + timedelta(minutes=minutes) + CLOSED_AFTER
            await rollup.step(now)
            for _ in range(50):
                try:
                    await OutboxPublisher(store.database, Losing(log, choose), source).publish_pending()
                    break
                except RuntimeError:
                    crashes += 1
                    # Meanwhile a correction comes, too.
                    late = some(choose, 1, minutes / 60)
                    await store.readings.store(late)
                    readings.setdefault((late[0].ven_id, late[0].timestamp), late[0])
                    await rollup.step(now)
            await log.flush()
            last = await last_versions(kafka)
            found = {key: told(minute) for key, minute in last.items() if minute.samples}
            assert found == naive(readings, NOON + timedelta(minutes=minutes))
    assert crashes > 2


async def test_a_minute_is_published_when_over_and_again_after_a_late_sample(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        minutes = OutboxPublisher(store.database, log, minute_source(kafka.topics(MINUTES)))

        async def after(seconds: float, *arriving: Reading) -> list[Minute]:
            await store.readings.store(list(arriving))
            await rollup.step(NOON + timedelta(seconds=seconds))
            await minutes.publish_pending()
            return [decode_minute(record.value) for record in await read_all(kafka, kafka.topics(MINUTES))]

        assert await after(70, reading("ven-1", 5, used_power_kw=2.0)) == []
        (first,) = await after(81)
        assert (first.minute, first.used) == (
            NOON,
            Power(samples=1, mean_kw=2.0, min_kw=2.0, max_kw=2.0, energy_kwh=2 * 55 / 3600, covered_seconds=55.0),
        )
        first_again, second = await after(90, reading("ven-1", 10, used_power_kw=4.0))
        assert (first_again, second.samples) == (first, 2)
        assert second.version > first.version
        assert len(await after(95, reading("ven-1", 10, used_power_kw=4.0))) <= 3


async def test_a_minute_within_a_hold_has_energy_and_no_samples(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        await store.readings.store([reading("ven-1", 5, used_power_kw=6.0)])
        await rollup.step(NOON + 2 * MINUTE + CLOSED_AFTER)
        await OutboxPublisher(store.database, log, minute_source(kafka.topics(MINUTES))).publish_pending()
        second = (await last_versions(kafka))["ven-1", NOON + MINUTE]
    assert (second.samples, second.shed) == (0, None)
    assert second.used == Power(samples=0, energy_kwh=0.1, covered_seconds=60.0)


async def test_a_refused_piece_leaves_its_rows_pending(
    database: DatabaseSettings, rows: Connection, kafka: KafkaSettings
) -> None:
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        source = replace(minute_source(kafka.topics(MINUTES)), rows_at_once=2)
        # Of one VEN, so that each piece is one batch.
        await store.readings.store([reading("ven-1", 60 * minute, used_power_kw=2.0) for minute in range(5)])
        await rollup.step(NOON + 5 * MINUTE + CLOSED_AFTER)
        assert await OutboxPublisher(store.database, Refusing(log, 1), source).publish_pending() == 2
        assert await rows.fetchval("SELECT count(*) FROM outbox") == 3
        assert len(await last_versions(kafka)) == 2
        assert await OutboxPublisher(store.database, log, source).publish_pending() == 3
        assert len(await last_versions(kafka)) == 5
        assert await OutboxPublisher(store.database, log, source).publish_pending() == 0


async def test_a_minute_that_was_corrected_twice_is_published_once(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        for second in (5, 6, 7):
            await store.readings.store([reading("ven-1", second, used_power_kw=2.0)])
            await rollup.step(NOON + MINUTE + CLOSED_AFTER)
        publisher = OutboxPublisher(store.database, log, minute_source(kafka.topics(MINUTES)))
        assert await publisher.publish_pending() == 3
        (record,) = await read_all(kafka, kafka.topics(MINUTES))
        assert decode_minute(record.value).samples == 3
