"""What the database knows first and others follow in the log: told in a turn of one worker, beside the role `sink`.

What is told is committed before, and noted as told after the log has it, so a crash tells some of it again.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.batching import BatchWriter

# While the log is away the transaction is given up, and what was to be told waits.
LOG_PATIENCE_SECONDS = 10.0


class Told(NamedTuple):
    """A record to be told."""

    key: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class NotTakenError(Exception):
    """The log did not take what was told in time."""


async def tell_many(writer: BatchWriter, topic: str, records: Iterable[Told]) -> None:
    """Put many records in a topic, by a writer that is used for nothing else.

    Raises:
        NotTakenError: the log is away; some of them may be in it all the same, and some still with the writer.
    """
    try:
        async with asyncio.timeout(LOG_PATIENCE_SECONDS):
            written = {
                await writer.add(topic, one.value, key=one.key.encode(), headers=[*one.headers]) for one in records
            }
            await writer.hand_over()
            await asyncio.gather(*map(asyncio.shield, written))
    except (TimeoutError, KafkaError) as error:
        raise NotTakenError(f"{topic}: {type(error).__name__}: {error}") from None


async def tell(producer: AIOKafkaProducer, topic: str, records: Iterable[Told]) -> list[Any]:
    """Put records in a topic; returns what the log says of each (RecordMetadata).

    Raises:
        NotTakenError: the log is away; some of them may be in it all the same.
    """
    try:
        async with asyncio.timeout(LOG_PATIENCE_SECONDS):
            sent: list[asyncio.Future[Any]] = [
                await producer.send(topic, one.value, key=one.key.encode(), headers=one.headers) for one in records
            ]
            return await asyncio.gather(*map(asyncio.shield, sent))
    except (TimeoutError, KafkaError) as error:
        raise NotTakenError(f"{topic}: {type(error).__name__}: {error}") from None
