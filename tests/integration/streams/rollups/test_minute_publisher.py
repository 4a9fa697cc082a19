"""ven.telemetry.1m: whatever comes late, twice or between restarts, the last version is what all readings say."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from runtime.database import Connection
from runtime.kafka import producer
from schemas.records.minutes import Minute, decode_minute
from schemas.records.telemetry import Reading
from schemas.records.topics import MINUTES
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from schemas.tables.buckets import MINUTE, floor_to
from streams.engine.publish import PublishError
from streams.rollups.job import CLOSED_AFTER
from streams.rollups.minute_publisher import Minutes
from streams.rollups.minute_store import tell_closed, tell_corrected
from tests.support.log import read_all
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
        return tuple(round(value, 6) for value in (len(values), mean, min(values), max(values), mean / 60))

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
        if of is None:
            return None
        return tuple(round(value, 6) for value in (of.samples, of.mean_kw, of.min_kw, of.max_kw, of.energy_kwh))

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
    database: DatabaseSettings, rows: Connection, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A kill comes between two pieces of a minute, too.
    monkeypatch.setattr("streams.rollups.minute_publisher.AT_ONCE", 2)
    choose = random.Random(11)
    readings: dict[tuple[str, datetime], Reading] = {}
    crashes = 0
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        await rows.execute("UPDATE minutes_told SET told_up_to = $1", NOON)
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
                    await Minutes(store.database, Losing(log, choose), kafka.topics(MINUTES)).step()
                    break
                except RuntimeError:
                    crashes += 1
                    # Meanwhile a correction comes, too.
                    late = some(choose, 1, minutes / 60)
                    await store.readings.store(late)
                    readings.setdefault((late[0].ven_id, late[0].timestamp), late[0])
                    await rollup.step(now)
            await log.flush()
            found = {key: told(minute) for key, minute in (await last_versions(kafka)).items()}
            assert found == naive(readings, NOON + timedelta(minutes=minutes))
    assert crashes > 2


async def test_a_minute_is_told_once_it_is_over_and_again_when_a_sample_was_late(
    database: DatabaseSettings, rows: Connection, kafka: KafkaSettings
) -> None:
    async with rolling(database, NOON) as (store, rollup), producer(kafka, "test") as log:
        await rows.execute("UPDATE minutes_told SET told_up_to = $1", NOON)
        minutes = Minutes(store.database, log, kafka.topics(MINUTES))

        async def after(seconds: float, *arriving: Reading) -> list[Minute]:
            await store.readings.store(list(arriving))
            await rollup.step(NOON + timedelta(seconds=seconds))
            await minutes.step()
            return [decode_minute(record.value) for record in await read_all(kafka, kafka.topics(MINUTES))]

        assert await after(70, reading("ven-1", 5, used_power_kw=2.0)) == []
        (first,) = await after(81)
        assert (first.minute, first.used and first.used.energy_kwh) == (NOON, 2 / 60)
        first_again, second = await after(90, reading("ven-1", 10, used_power_kw=4.0))
        assert (first_again, second.samples) == (first, 2)
        assert second.version > first.version
        assert len(await after(95, reading("ven-1", 10, used_power_kw=4.0))) <= 3


async def test_a_minute_of_many_is_told_in_pieces_and_noted_after_the_last(
    database: DatabaseSettings, rows: Connection
) -> None:
    pieces: list[list[str]] = []
    refused: set[int] = set()

    async def send(minutes: Sequence[Minute]) -> None:
        pieces.append([minute.ven_id for minute in minutes])
        if len(pieces) in refused:
            raise PublishError("no")

    async def step(work: Any) -> Any:
        pieces.clear()
        return await store.database.run(partial(work, send=send, most=2))

    vens = {f"ven-{number}" for number in range(5)}
    async with rolling(database, NOON) as (store, rollup):
        await rows.execute("UPDATE minutes_told SET told_up_to = $1", NOON)
        await store.readings.store([reading(ven_id, 5, used_power_kw=2.0) for ven_id in vens])
        await rollup.step(NOON + MINUTE + CLOSED_AFTER)
        refused.add(2)
        with pytest.raises(PublishError):
            await step(tell_closed)
        assert await rows.fetchval("SELECT told_up_to FROM minutes_told") == NOON
        refused.clear()
        assert await step(tell_closed)
        assert sorted(map(len, pieces)) == [1, 2, 2]
        assert {ven_id for piece in pieces for ven_id in piece} == vens
        assert not await step(tell_closed)
        await store.readings.store([reading(ven_id, 6, used_power_kw=3.0) for ven_id in vens])
        await rollup.step(NOON + MINUTE + CLOSED_AFTER)
        told_again = []
        while await step(tell_corrected):
            told_again += pieces
        assert [len(piece) for piece in [*told_again, *pieces]] == [2, 2, 1]
