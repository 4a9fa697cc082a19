"""The thread that fetches records from Kafka: its pauses between fetches, its supervision and its first assignment.

It overrides private methods of Faust and aiokafka (hence `noqa: SLF001`), as batch_consumer.py does.
"""

import asyncio
import time
from contextvars import Context, copy_context
from typing import Any

from faust.transport.drivers import aiokafka as driver
from mode import Service

from runtime.supervision import watch_tasks_of

FETCH_PAUSE_SECONDS = 0.05
"""Pause between a response and the next fetch, so that records gather into larger batches."""
FETCH_WAIT_MS = 100
"""How long Kafka holds a fetch without records; partitions that are not in the fetch wait as long."""
FETCH_PARTITION_BYTES = 1_048_576
"""The most that a response contains of one partition, unless one record is larger."""

FETCH_MAX_BYTES = 4_194_304
"""The most that a response contains. The default of 50 MB would be in memory twice for a moment."""

_COORDINATOR_CHECK_SECONDS = 0.5


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Pauses between two fetches, because few large batches cost less than many small ones.

    After an idle time, a record is delivered at once. With Kafka's `fetch_min_bytes` instead, a single record would
    wait as long as many.
    """

    _context: Context

    async def start(self) -> None:
        # A new thread has an empty context, so its tasks would have no supervisor.
        self._context = copy_context()
        watch_tasks_of(self.thread_loop)
        await super().start()

    def _start_thread(self) -> None:
        self._context.run(super()._start_thread)

    @Service.task
    async def _check_coordinator(self) -> None:
        """Raise fatal errors of the coordinator: it keeps them until asked, and Faust never asks."""
        while not self.should_stop:
            await self.sleep(_COORDINATOR_CHECK_SECONDS)
            self._ensure_consumer()._coordinator.check_errors()  # noqa: SLF001

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._fetch_max_bytes = FETCH_MAX_BYTES  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        self._adapt_first_assignment()
        self._pause_between_fetches()

    def _adapt_first_assignment(self) -> None:
        """Rejoin once if the assignment was made for the topics of an earlier version (see group_member.py)."""
        assignor: Any = self._assignor
        coordinator: Any = self._ensure_consumer()._coordinator  # noqa: SLF001
        complete = coordinator._on_join_complete  # noqa: SLF001

        async def complete_join(generation: int, member_id: str, protocol: str, assignment: bytes) -> None:
            assignment, fits = assignor.fitted(assignment, coordinator._subscription.topics)  # noqa: SLF001
            # Once only: a topic that does not exist would never be assigned.
            coordinator._on_join_complete = complete  # noqa: SLF001
            await complete(generation, member_id, protocol, assignment)
            if not fits:
                coordinator.request_rejoin()

        coordinator._on_join_complete = complete_join  # noqa: SLF001

    def _pause_between_fetches(self) -> None:
        fetcher: Any = self._ensure_consumer()._fetcher  # noqa: SLF001
        fetch = fetcher._proc_fetch_request  # noqa: SLF001
        next_at = 0.0

        async def fetch_after_pause(*request: Any) -> bool:
            nonlocal next_at
            try:
                await asyncio.sleep(next_at - time.monotonic())
                return bool(await fetch(*request))
            except asyncio.CancelledError:
                # As in aiokafka: the partitions were revoked, so the response no longer matters.
                return False
            finally:
                next_at = time.monotonic() + FETCH_PAUSE_SECONDS

        fetcher._proc_fetch_request = fetch_after_pause  # noqa: SLF001
