"""The power limit of a VEN reaches `validate` through the outbox and Kafka."""

import asyncio
from contextlib import suppress

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.records.topics import POWER_LIMITS
from schemas.settings.blocks import KafkaSettings
from streams.outbox.store import Reference
from streams.sink.power_limits import power_limit_source
from streams.validate.power_limits import PowerLimits
from tests.support.kafka_records import writer

WAIT = 30
CHANGES = (
    "INSERT INTO vens (ven_id, name, max_power_kw) VALUES ('mall', 'Mall', 5000), ('home', 'Home', NULL)",
    "UPDATE vens SET max_power_kw = 20 WHERE ven_id = 'home'",
    "UPDATE vens SET max_power_kw = NULL WHERE ven_id = 'home'",
    "DELETE FROM vens WHERE ven_id = 'mall'",
)


async def test_limit_follows_the_registry(kafka: KafkaSettings, rows: Connection) -> None:
    limits = PowerLimits(1000)
    following = asyncio.create_task(limits.follow(kafka))
    await asyncio.wait_for(limits.wait(), WAIT)
    source = power_limit_source(kafka.topics(POWER_LIMITS))
    expected = [(5000, 1000), (5000, 20), (5000, 1000), (1000, 1000)]
    async with writer(kafka) as log:
        for statement, kw in zip(CHANGES, expected, strict=True):
            await rows.execute(statement)
            pending = await rows.fetch("DELETE FROM outbox WHERE kind = 'power_limit' RETURNING key, time")
            for record in (await source.load(rows, [Reference(**row) for row in pending])).records:
                await log.one(record.topic, record.value, key=record.key)

            def known(kw: tuple[int, int] = kw) -> bool:
                return (limits.limit_kw("mall"), limits.limit_kw("home")) == kw

            assert await wait_until(known, WAIT)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_limits_of_kafka_are_known_before_validation(kafka: KafkaSettings) -> None:
    async with writer(kafka) as log:
        malformed = [b"junk", b'{"venId":"a","maxPowerKw":-1}']
        for number, value in enumerate([*malformed, b'{"venId":"mall","maxPowerKw":5000}']):
            await log.one(kafka.topics(POWER_LIMITS), value, key=b"%d" % number)
    limits = PowerLimits(1000)
    following = asyncio.create_task(limits.follow(kafka))
    await asyncio.wait_for(limits.wait(), WAIT)
    assert (limits.limit_kw("mall"), limits.limit_kw("a")) == (5000, 1000)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
