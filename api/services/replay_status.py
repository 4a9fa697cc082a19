"""The progress of replays. It is polled, so that no connection is held while a request waits."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from api.queries.dead_letter_replays import RequestedReplay, fetch_states
from runtime.database import DATABASE_OUTAGES, Pool
from schemas.records.dead_letters import DeadLetterState

SETTLED = frozenset({DeadLetterState.STORED, DeadLetterState.ALREADY_STORED, DeadLetterState.REJECTED})

_FIRST_PAUSE_SECONDS = 0.05
_MAX_PAUSE_SECONDS = 0.5


class ReplayProgress(NamedTuple):
    """How far one replay is."""

    id: str
    attempt: int
    state: str
    detail: str | None


class ReplayTracker:
    """Polls requested replays until they are settled; `progress` has one entry for each, in the order of request."""

    def __init__(self, pool: Pool, requested: Iterable[RequestedReplay]) -> None:
        self._pool = pool
        self._pending = {each.key.id: each for each in requested}
        self._pause = _FIRST_PAUSE_SECONDS
        self.progress = {
            each.key.id: ReplayProgress(each.key.id, each.attempt, DeadLetterState.REQUESTED, None)
            for each in self._pending.values()
        }

    @property
    def pending(self) -> int:
        """The number of replays that are not settled yet."""
        return len(self._pending)

    async def wait_until_settled(self, seconds: float) -> None:
        """Wait until all are settled, at most `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while await self.wait_for_settled(deadline - asyncio.get_running_loop().time()):
            pass

    async def wait_for_settled(self, seconds: float) -> list[ReplayProgress]:
        """Wait at most `seconds` for at least one; return those settled since the last call."""
        settled: list[ReplayProgress] = []
        if seconds <= 0:
            return settled
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._pending and not settled:
                    # The requests are committed, so an outage of the database only delays the answer.
                    with suppress(*DATABASE_OUTAGES):
                        settled = await self._poll()
                    if not settled:
                        await asyncio.sleep(self._pause)
                        self._pause = min(1.5 * self._pause, _MAX_PAUSE_SECONDS)
        return settled

    async def _poll(self) -> list[ReplayProgress]:
        settled = []
        for row in await fetch_states(self._pool, [each.key for each in self._pending.values()]):
            requested = self._pending[row["id"]]
            if row["replays"] < requested.attempt:
                continue
            # If the dead letter was requested once more meanwhile, the result of that attempt counts.
            progress = ReplayProgress(row["id"], requested.attempt, row["state"], row["state_detail"])
            self.progress[progress.id] = progress
            if progress.state in SETTLED:
                del self._pending[progress.id]
                settled.append(progress)
        return settled
