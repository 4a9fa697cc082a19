"""What becomes of replays: the database is asked now and then, and no connection is held in between."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from api.http.problems import OUTAGES
from api.queries.dead_letters import RequestedReplay, fetch_states
from runtime.database import Pool
from schemas.records.dead_letters import DeadLetterState

SETTLED = frozenset({DeadLetterState.STORED, DeadLetterState.ALREADY_STORED, DeadLetterState.REJECTED})

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5


class ReplayProgress(NamedTuple):
    """What became of one replay so far."""

    id: str
    attempt: int
    state: str
    detail: str | None


class ReplayTracker:
    """Follows replays from their request until they are settled; `outcomes` has them in the order of request."""

    def __init__(self, pool: Pool, requested: Iterable[RequestedReplay]) -> None:
        self._pool = pool
        self._pending = {each.key.id: each for each in requested}
        self._pause = _FIRST_PAUSE_SECONDS
        self.outcomes = {
            each.key.id: ReplayProgress(each.key.id, each.attempt, DeadLetterState.REQUESTED, None)
            for each in self._pending.values()
        }

    @property
    def pending(self) -> int:
        """How many are not settled yet."""
        return len(self._pending)

    async def wait_until_settled(self, seconds: float) -> None:
        """Wait for all of them, at most so many seconds."""
        deadline = asyncio.get_running_loop().time() + seconds
        while await self.wait_for_settled(deadline - asyncio.get_running_loop().time()):
            pass

    async def wait_for_settled(self, seconds: float) -> list[ReplayProgress]:
        """Return those that were settled since the last call; waits for one at most so many seconds."""
        found: list[ReplayProgress] = []
        if seconds <= 0:
            return found
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._pending and not found:
                    # The requests are committed: that the database is away for a while changes nothing about them.
                    with suppress(*OUTAGES):
                        found = await self._poll()
                    if not found:
                        await self._rest()
        return found

    async def _rest(self) -> None:
        # What is settled at once is told at once, and who waits long asks seldom.
        await asyncio.sleep(self._pause)
        self._pause = min(1.5 * self._pause, _LONGEST_PAUSE_SECONDS)

    async def _poll(self) -> list[ReplayProgress]:
        found = []
        for row in await fetch_states(self._pool, [each.key for each in self._pending.values()]):
            asked = self._pending[row["id"]]
            if row["replays"] < asked.attempt:
                continue
            # Where somebody asked again meanwhile, what became of that attempt is what became of the letter.
            self.outcomes[row["id"]] = outcome = ReplayProgress(
                row["id"], asked.attempt, row["state"], row["state_detail"]
            )
            if row["state"] in SETTLED:
                del self._pending[row["id"]]
                found.append(outcome)
        return found
