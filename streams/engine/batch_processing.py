"""How agents work through what has arrived: many small batches together, acknowledged after the work."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.cancellation import cancellations
from runtime.metrics import BATCH_RECORDS, BATCH_SECONDS, RECORDS_PROCESSED
from runtime.traces import TRACES
from streams.engine.batch_consumer import Batch
from streams.engine.tracing import take_up

BATCH_BYTES = 4_194_304
"""What is worked on together holds no more than this and one fetch of a partition, however few records that are.

docs/operations.md has what a role comes to with all of these.
"""


async def gathered(stream: Any, most_records: int) -> AsyncIterator[list[Batch]]:
    """Yield all batches that have arrived, until they hold `most_records`, or `BATCH_BYTES`.

    They are acknowledged when the loop comes back for more, so after the work of its body. When the body raises, they
    are not, and come again. Under load, many small batches of many partitions so become one transaction.
    """
    async for load in _loads(stream, most_records):
        yield load.batches
        await load.done()


async def overlapped(
    stream: Any, most_records: int, at_once: int, work: Callable[[Sequence[Batch]], Awaitable[None]]
) -> None:
    """Do `work` on all batches that have arrived, as `gathered` lets a loop, but on the next while the last waits.

    For work that is right in any order, and part of which is waiting for a server. What one work raises ends them all;
    each acknowledges its own batches alone.
    """
    places = asyncio.Semaphore(at_once)

    async def finish(load: _Load) -> None:
        try:
            await work(load.batches)
            await load.done()
        except asyncio.CancelledError:
            if not cancellations():
                # The group would take it for an end like any other, and no offset be committed any more.
                raise RuntimeError("something that a batch waited for was cancelled") from None
            raise
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as group:
            await places.acquire()
            async for load in _loads(stream, most_records):
                group.create_task(finish(load))
                await places.acquire()
    except* Exception as errors:  # noqa: BLE001 - what went wrong first is raised as it is
        raise errors.exceptions[0] from None


@dataclass(slots=True)
class _Load:
    """Batches that are worked on together, and their events."""

    stream: Any
    events: list[Any]
    batches: list[Batch] = field(init=False)
    spans: Sequence[Any] = field(init=False)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.batches = [event.value for event in self.events]
        self.spans = take_up(self.stream.app.role, self.batches) if TRACES.on else ()
        self.started = time.perf_counter()

    async def done(self) -> None:
        """Note and acknowledge them."""
        _note(self.stream.app.role, self.batches, time.perf_counter() - self.started)
        for event in self.events:
            event.value.finished = True
            await self.stream.ack(event)
        for span in self.spans:
            span.end()


async def _loads(stream: Any, most_records: int) -> AsyncIterator[_Load]:
    stream = stream.noack()
    events: list[Any] = []
    count = size = 0
    async for event in stream.events():
        events.append(event)
        count += len(event.value.records)
        size += event.value.size
        if count < most_records and size < BATCH_BYTES and not stream.channel.queue.empty():
            continue
        yield _Load(stream, events)
        events, count, size = [], 0, 0


def _note(role: str, batches: Sequence[Batch], seconds: float) -> None:
    records: Counter[str] = Counter()
    for batch in batches:
        records[batch.tp.topic] += len(batch.records)
    for topic, number in records.items():
        RECORDS_PROCESSED.labels(role, topic).inc(number)
    BATCH_RECORDS.labels(role).observe(records.total())
    BATCH_SECONDS.labels(role).observe(seconds)
