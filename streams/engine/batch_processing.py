"""How agents process batches: merge all that have arrived, do the work, then acknowledge."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.cancellation import pending_cancellations
from runtime.metrics import BATCH_RECORDS, BATCH_SECONDS, RECORDS_PROCESSED
from runtime.tracing import TRACING
from streams.engine.batch import Batch
from streams.engine.tracing import start_record_spans

BATCH_BYTES = 4_194_304
"""A group of batches stops growing at this size (bytes of record values), however few records it holds.

It may exceed the limit by one fetch of one partition. docs/how-to/size.md gives the memory that a role needs.
"""


async def merged_batches(stream: Any, max_records: int) -> AsyncIterator[list[Batch]]:
    """Yield all batches that have arrived, up to about `max_records` or `BATCH_BYTES`.

    They are acknowledged when the loop asks for the next ones, that is after the loop body. If the body raises, they
    are not acknowledged and are delivered again. Under load, many small batches become one transaction.
    """
    async for group in _batch_groups(stream, max_records):
        yield group.batches
        await group.acknowledge()


async def process_concurrently(
    stream: Any, max_records: int, concurrency: int, work: Callable[[Sequence[Batch]], Awaitable[None]]
) -> None:
    """Run `work` on the batches that `merged_batches` would yield, up to `concurrency` calls at a time.

    Use it for work that is correct in any order and waits for a server. Each call acknowledges only its own batches.
    If one call raises, the others are cancelled and its error is raised.
    """
    slots = asyncio.Semaphore(concurrency)

    async def process(group: _BatchGroup) -> None:
        try:
            await work(group.batches)
            await group.acknowledge()
        except asyncio.CancelledError:
            if not pending_cancellations():
                # The task group would ignore a cancellation from elsewhere, and no offset would be committed again.
                raise RuntimeError("something that a batch waited for was cancelled") from None
            raise
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            await slots.acquire()
            async for group in _batch_groups(stream, max_records):
                tasks.create_task(process(group))
                await slots.acquire()
    except* Exception as errors:  # noqa: BLE001 - the first error is raised unchanged
        raise errors.exceptions[0] from None


@dataclass(slots=True)
class _BatchGroup:
    """Batches that are processed together, with the Faust events that acknowledge them."""

    stream: Any
    events: list[Any]
    batches: list[Batch] = field(init=False)
    spans: Sequence[Any] = field(init=False)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.batches = [event.value for event in self.events]
        self.spans = start_record_spans(self.stream.app.role, self.batches) if TRACING.on else ()
        self.started = time.perf_counter()

    async def acknowledge(self) -> None:
        """Acknowledge all batches, update the metrics and end the spans."""
        _measure(self.stream.app.role, self.batches, time.perf_counter() - self.started)
        for event in self.events:
            event.value.finished = True
            await self.stream.ack(event)
        for span in self.spans:
            span.end()


async def _batch_groups(stream: Any, max_records: int) -> AsyncIterator[_BatchGroup]:
    stream = stream.noack()
    events: list[Any] = []
    records = size = 0
    async for event in stream.events():
        events.append(event)
        records += len(event.value.records)
        size += event.value.size
        if records < max_records and size < BATCH_BYTES and not stream.channel.queue.empty():
            continue
        yield _BatchGroup(stream, events)
        events, records, size = [], 0, 0


def _measure(role: str, batches: Sequence[Batch], seconds: float) -> None:
    records: Counter[str] = Counter()
    for batch in batches:
        records[batch.tp.topic] += len(batch.records)
    for topic, number in records.items():
        RECORDS_PROCESSED.labels(role, topic).inc(number)
    BATCH_RECORDS.labels(role).observe(records.total())
    BATCH_SECONDS.labels(role).observe(seconds)
