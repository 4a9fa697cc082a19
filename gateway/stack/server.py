"""What the three servers of the stack have in common."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from gateway.stack.errors import StackError
from gateway.stack.process import Process


class Server(ABC):
    """One server: it keeps its port and its data through stops, kills and restarts."""

    title: ClassVar[str]
    host = "127.0.0.1"

    def __init__(self, port: int, progress: Callable[[str], None]) -> None:
        self.port = port
        self._progress = progress
        self._process: Process | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start, and wait until it really answers."""
        began = time.monotonic()
        if self._process is None:
            self._process = await self._prepare()
        await self._before_start()
        await self._process.start()
        await self._after_start()
        self._progress(f"{self.title} is up on {self.address} ({time.monotonic() - began:.1f} s)")

    async def stop(self, timeout: float = 10) -> int:  # noqa: ASYNC109 - a deadline for the server, not for the caller
        """Stop in good order; kill after `timeout` seconds."""
        return await self._process.stop(timeout) if self._process else 0

    async def kill(self) -> None:
        """End at once, as a power cut would."""
        if self._process:
            await self._process.kill()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def signal(self, sig: int) -> None:
        if self._process is None:
            raise StackError(f"{self.title} was never started: start it first.")
        self._process.signal(sig)

    @abstractmethod
    async def _prepare(self) -> Process:
        """Write what the server needs in its folder and describe its process; done once."""

    async def _before_start(self) -> None:  # noqa: B027 - most servers need nothing here
        """Work before every start."""

    async def _after_start(self) -> None:  # noqa: B027 - most servers need nothing here
        """Work once the server answers."""
