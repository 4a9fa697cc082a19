"""The environment of a benchmark: the whole system in a temporary folder."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console

from gateway.local.api_auth import local_api_settings
from gateway.local.system import System, default_topics

T = TypeVar("T")


class BenchEnvironment(NamedTuple):
    """The system, a temporary folder, and a callback for progress (standard error; results go to standard output)."""

    system: System
    folder: Path
    progress: Callable[[str], None]


@asynccontextmanager
async def environment(
    stop: asyncio.Event, settings: Mapping[str, str] | None = None
) -> AsyncIterator[BenchEnvironment | None]:
    """Run the system inside the block; `settings` override the defaults. Yields None if `stop` was set before."""
    console = Console(stderr=True)

    def progress(line: str) -> None:
        console.print(line, highlight=False)

    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        all_settings = default_topics() | local_api_settings(progress) | dict(settings or {})
        system = System(Path(folder) / "data", settings=all_settings, progress=progress)
        async with system.until(stop) as env:
            yield BenchEnvironment(system, Path(folder), progress) if env else None


async def unless_stopped(stop: asyncio.Event, measuring: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `measuring`, or None if `stop` was set first."""
    work, stopping = asyncio.ensure_future(measuring), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        return None
    finally:
        work.cancel()
        stopping.cancel()
        await asyncio.wait({work, stopping})
