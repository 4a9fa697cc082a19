"""Running Faust apps in the test's own process, as streams/main.py does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.stack.polling import until

# One that waits for what is never acknowledged would not end at all.
STOP_SECONDS = 30
WAIT = 60


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """Have the app run inside; it must end by itself."""
    app.finalize()
    app.loop = asyncio.get_running_loop()
    await app.start()
    try:
        yield
    finally:
        async with asyncio.timeout(STOP_SECONDS):
            await app.stop()


class ManualAgent:
    """An agent that gives its events to the test, which finishes them when it likes."""

    def __init__(self, app: Any, *topics: str) -> None:
        self.events: list[Any] = []
        self.stream: Any = None

        @app.agent(app.batches_of(*topics))  # type: ignore[untyped-decorator]
        async def hold(stream: Any) -> None:
            self.stream = stream.noack()
            async for event in self.stream.events():
                self.events.append(event)

    async def have(self, number: int) -> bool:
        return await until(lambda: len(self.events) >= number, WAIT)

    async def finish(self, event: Any) -> None:
        event.value.finished = True
        await self.stream.ack(event)
