"""Faust apps in the test's own process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.stack.polling import wait_until

# An app that waited for unacknowledged batches would never stop.
STOP_SECONDS = 30
WAIT = 60


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """Run the app inside the context; it must stop in time."""
    app.finalize()
    app.loop = asyncio.get_running_loop()
    await app.start()
    try:
        yield
    finally:
        async with asyncio.timeout(STOP_SECONDS):
            await app.stop()


class ManualAgent:
    """An agent whose events the test acknowledges."""

    def __init__(self, app: Any, *topics: str) -> None:
        self.events: list[Any] = []
        self.stream: Any = None

        @app.agent(app.batches_of(*topics))  # type: ignore[untyped-decorator]
        async def collect(stream: Any) -> None:
            self.stream = stream.noack()
            async for event in self.stream.events():
                self.events.append(event)

    async def have(self, number: int) -> bool:
        return await wait_until(lambda: len(self.events) >= number, WAIT)

    async def finish(self, event: Any) -> None:
        event.value.finished = True
        await self.stream.ack(event)
