"""How a role's process ends: told to, or because something is wrong for good."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from schemas.mqtt.routing import Kind
from schemas.settings.blocks import StreamsSettings
from streams.main import StreamsConfig, run_role
from tests.support.log import writer
from tests.support.servers import Topics, committed

WAIT = 60


async def test_a_role_that_crashes_says_so_and_acknowledges_nothing(topics: Topics) -> None:
    kafka = topics.settings(partitions=1)
    raw = kafka.topics.raw(Kind.METERING)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.kafka_bootstrap_servers)
    await admin.start()
    # Dead letters that the log refuses for good: nothing a process could do about it.
    tiny = NewTopic(kafka.topics.dead_letters(raw), 1, 1, topic_configs={"max.message.bytes": "10"})
    await admin.create_topics([tiny, NewTopic(raw, 1, 1)])
    await admin.close()
    async with writer(kafka) as log:
        await log.one(raw, b"not a sample")
    with pytest.raises(KafkaError):
        async with asyncio.timeout(WAIT):
            await run_role(StreamsConfig("validate", kafka, StreamsSettings(), None), asyncio.Event())
    assert await committed(kafka, "validate", raw) == {}
