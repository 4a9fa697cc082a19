"""Batches that are filled by us hold what was put in, where every other client of the log would have put it."""

import asyncio
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaError

from gateway.stack.polling import wait_until
from runtime.batch_writer import BatchWriter
from runtime.kafka import producer
from schemas.records.topics import FAULTS
from schemas.settings.blocks import KafkaSettings
from tests.support.kafka_records import read_all


async def test_keys_go_where_the_producer_itself_sends_them_and_stay_in_order(kafka: KafkaSettings) -> None:
    topic = kafka.topics(FAULTS)
    keys = [f"ven-{number % 40}".encode() for number in range(400)]
    async with producer(kafka, "test") as log:
        writer = BatchWriter(log)
        mine = [await writer.add(topic, b"mine %d" % number, key=key) for number, key in enumerate(keys)]
        await writer.send_batches()
        await asyncio.gather(*mine)
        others = [await log.send(topic, b"other", key=key) for key in set(keys)]
        await asyncio.gather(*others)
    records = await read_all(kafka, topic)
    place = {record.key: record.partition for record in records if record.value == b"other"}
    written = [record for record in records if record.value != b"other"]
    assert len(written) == len(keys)
    assert all(record.partition == place[record.key] for record in written)
    for key in set(keys):
        numbers = [int((record.value or b"").split()[1]) for record in written if record.key == key]
        assert numbers == sorted(numbers)


async def test_a_full_batch_makes_room_for_the_next_and_large_records_pass(kafka: KafkaSettings) -> None:
    topic = kafka.topics(FAULTS)
    sizes = [10, 100_000, 100_000, 1_000_000, 10, 200_000]
    async with producer(kafka, "test") as log:
        writer = BatchWriter(log)
        written = [await writer.add(topic, b"x" * size, key=b"ven-1", headers=[("n", b"1")]) for size in sizes]
        assert len(set(written)) > 1
        await writer.send_batches()
        await asyncio.gather(*written)
    records = await read_all(kafka, topic)
    assert [len(record.value or b"") for record in records] == sizes
    assert {record.headers for record in records} == {(("n", b"1"),)}


async def test_what_the_log_refuses_is_told_to_all_of_its_batch(kafka: KafkaSettings) -> None:
    async with producer(kafka, "test") as log:
        writer = BatchWriter(log)
        refused = await writer.add(kafka.topics(FAULTS), b"x" * 2_000_000, key=b"ven-1")
        await writer.send_batches()
        with pytest.raises(KafkaError):
            await refused
        # And the next one is none of its concern.
        accepted = await writer.add(kafka.topics(FAULTS), b"fine", key=b"ven-1")
        await writer.send_batches()
        await accepted


async def test_partitions_that_are_added_are_used(kafka: KafkaSettings) -> None:
    topic = kafka.topics(FAULTS)
    keys = [uuid4().bytes for _ in range(200)]
    async with producer(kafka, "test") as log:
        writer = BatchWriter(log)
        before = await _spread(writer, topic, keys, kafka)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.kafka_bootstrap_servers)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(len(before) + 2)})
        await admin.close()

        async def all_are_used() -> bool:
            await log.client.force_metadata_update()
            return len(await _spread(writer, topic, keys, kafka)) == len(before) + 2

        assert await wait_until(all_are_used, 60)


async def _spread(writer: BatchWriter, topic: str, keys: list[bytes], kafka: KafkaSettings) -> set[int]:
    written = [await writer.add(topic, b"x", key=key) for key in keys]
    await writer.send_batches()
    await asyncio.gather(*written)
    return {record.partition for record in await read_all(kafka, topic)}
