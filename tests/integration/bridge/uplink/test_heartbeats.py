"""Heartbeats: the bridge sends them, and `validate` forwards them behind earlier records."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from schemas.mqtt.routing import Kind
from schemas.records.network import decode_heartbeat
from schemas.records.topics import HEADER_HEARTBEAT, HEADER_RECEIVED, HEARTBEATS
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from schemas.settings.mqtt import MqttSettings
from streams.config import StreamsConfig
from streams.main import run_role
from streams.validate.receive_time import receive_time
from tests.support.bridges import Bridges
from tests.support.kafka_records import read_all

WAIT = 60
PARTITIONS = 2


async def test_the_bridge_sends_heartbeats_to_every_partition(
    stack: LocalStack, kafka: KafkaSettings, tmp_path: Path
) -> None:
    mqtt = MqttSettings(
        mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )
    raw = kafka.topics.raw(Kind.METERING)
    bridges = Bridges(mqtt, kafka, tmp_path)

    async def heartbeats(partition: int) -> list[datetime]:
        records = await read_all(kafka, raw, heartbeats=True)
        assert all(record.value == b"" and record.key is None for record in records)
        return [receive_time(dict(one.headers), 0) for one in records if one.partition == partition]

    async with bridges.running(mqtt_topic_metering=f"test/{uuid4()}"):
        for partition in range(PARTITIONS):

            async def twice(partition: int = partition) -> bool:
                return len(await heartbeats(partition)) >= 2

            assert await wait_until(twice, WAIT)
    moments = await heartbeats(0)
    assert moments == sorted(moments)
    assert datetime.now(UTC) - moments[-1] < timedelta(seconds=WAIT)
    assert not await read_all(kafka, raw)


async def test_validate_forwards_heartbeats_by_partition(kafka: KafkaSettings) -> None:
    raw = kafka.topics.raw(Kind.METERING)
    stop = asyncio.Event()
    role = asyncio.create_task(run_role(StreamsConfig("validate", kafka, StreamsSettings(), None), stop))
    async with AIOKafkaProducer(bootstrap_servers=kafka.kafka_bootstrap_servers) as log:
        for partition, moment in ((1, b"1795500001000"), (0, b"1795500002000"), (1, b"1795500003000")):
            headers = [(HEADER_HEARTBEAT, b"1"), (HEADER_RECEIVED, moment)]
            await log.send_and_wait(raw, b"", partition=partition, headers=headers)

        async def newest() -> dict[int, float]:
            records = await read_all(kafka, kafka.topics(HEARTBEATS))
            return {record.partition: decode_heartbeat(record.value).at.timestamp() for record in records}

        async def passed() -> bool:
            return await newest() == {0: 1795500002.0, 1: 1795500003.0}

        assert await wait_until(passed, WAIT)
    stop.set()
    await role
    assert not await read_all(kafka, kafka.topics.dead_letters(raw))
