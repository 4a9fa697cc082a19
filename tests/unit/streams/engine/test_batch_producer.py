"""What an outbox counts: records that were set apart, and dead letters by reason, once the log holds them."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from runtime.metrics import DEAD_LETTERS
from schemas.base.rejection import Reason, Rejection
from schemas.records.topics import TopicNames
from streams.engine.batch_producer import Outbox


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


async def test_a_record_with_many_rejected_loads_is_set_apart_once() -> None:
    outbox = Outbox(Log(), TopicNames(""))
    for _ in range(3):
        outbox.dead_letter(record("many", 1), Rejection(Reason.BAD_LOAD, ""))
    outbox.dead_letter(record("many", 2), Rejection(Reason.NOT_JSON, ""))
    outbox.dead_letter(record("many", 2, partition=1), Rejection(Reason.NOT_JSON, ""))
    assert counted("many", Reason.BAD_LOAD) == 0
    assert await outbox.settled() == 3
    assert (counted("many", Reason.BAD_LOAD), counted("many", Reason.NOT_JSON)) == (3, 2)


async def test_each_batch_is_counted_for_itself() -> None:
    outbox = Outbox(Log(), TopicNames(""))
    outbox.dead_letter(record("each", 1), Rejection(Reason.EMPTY, ""))
    assert await outbox.settled() == 1
    outbox.send("each", None, b"good")
    assert await outbox.settled() == 0
    assert counted("each", Reason.EMPTY) == 1


async def test_what_the_log_refused_is_not_counted() -> None:
    outbox = Outbox(Log(KafkaError("no")), TopicNames(""))
    outbox.dead_letter(record("refused", 1), Rejection(Reason.EMPTY, ""))
    with pytest.raises(KafkaError):
        await outbox.settled()
    assert counted("refused", Reason.EMPTY) == 0
