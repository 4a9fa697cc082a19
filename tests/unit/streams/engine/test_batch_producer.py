"""What an outbox counts: records that were set apart, and dead letters by reason, once the log holds them."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from runtime.metrics import DEAD_LETTERS
from schemas.base.rejection import Reason, Rejection
from schemas.records.topics import TopicNames
from streams.engine.batch_producer import BatchProducer


class Batch:
    """Room for everything."""

    def append(self, **_record: Any) -> bool:
        return True

    def close(self) -> None:
        pass


class Log:
    """A producer whose log takes everything, or refuses it."""

    def __init__(self, refusal: KafkaError | None = None) -> None:
        self.refusal = refusal

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, _batch: Batch, _topic: str, *, partition: int) -> "asyncio.Future[None]":
        assert partition == 0
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refusal is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(self.refusal)
        return outcome


def record(topic: str, offset: int, partition: int = 0) -> Any:
    return ConsumerRecord(topic, partition, offset, 0, 0, None, b"x", None, 0, 1, ())


def counted(topic: str, reason: Reason) -> float:
    return float(DEAD_LETTERS.labels(topic, reason)._value.get())


async def test_record_with_many_rejected_loads_counts_once() -> None:
    producer = BatchProducer(Log(), TopicNames(""))
    for _ in range(3):
        producer.dead_letter(record("many", 1), Rejection(Reason.BAD_LOAD, ""))
    producer.dead_letter(record("many", 2), Rejection(Reason.NOT_JSON, ""))
    producer.dead_letter(record("many", 2, partition=1), Rejection(Reason.NOT_JSON, ""))
    assert counted("many", Reason.BAD_LOAD) == 0
    assert await producer.flush() == 3
    assert (counted("many", Reason.BAD_LOAD), counted("many", Reason.NOT_JSON)) == (3, 2)


async def test_each_flush_counts_its_own_dead_letters() -> None:
    producer = BatchProducer(Log(), TopicNames(""))
    producer.dead_letter(record("each", 1), Rejection(Reason.EMPTY, ""))
    assert await producer.flush() == 1
    producer.send("each", None, b"good")
    assert await producer.flush() == 0
    assert counted("each", Reason.EMPTY) == 1


async def test_records_that_kafka_refuses_are_not_counted() -> None:
    producer = BatchProducer(Log(KafkaError("no")), TopicNames(""))
    producer.dead_letter(record("refused", 1), Rejection(Reason.EMPTY, ""))
    with pytest.raises(KafkaError):
        await producer.flush()
    assert counted("refused", Reason.EMPTY) == 0
