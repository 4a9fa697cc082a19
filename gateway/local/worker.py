"""One process of ours under supervision: when it ends without being asked to, it is started again."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

from gateway.stack import Process, StackError
from gateway.stack.child_guard import Guard
from runtime.backoff import Backoff

logger = logging.getLogger(__name__)


class Worker:
    """Runs `gateway COMMAND` and keeps it running."""

    def __init__(
        self, name: str, command: tuple[str, ...], *, env: Mapping[str, str], log: Path, guard: Guard, health: str
    ) -> None:
        """Describe it; `health` is the address under which it answers /health/live and /health/ready."""
        self.name = name
        self.restarts = 0
        self.health = health
        self._supervision: asyncio.Task[None] | None = None
        self.process = Process(
            name,
            [sys.executable, "-m", "gateway", *command],
            env=env,
            log=log,
            guard=guard,
            ready=self.alive,
        )

    async def start(self) -> None:
        """Start it, wait until it lives, and watch over it from then on.

        Raises:
            StackError: it ended while starting; its log says why.
        """
        await self.process.start()
        self._supervision = asyncio.create_task(self._supervise(), name=f"supervise {self.name}")

    async def stop(self) -> None:
        """Let it finish what it has in hand, and end it."""
        if self._supervision is not None:
            self._supervision.cancel()
            self._supervision = None
        await self.process.stop()

    @property
    def supervised(self) -> bool:
        """Whether it is meant to run."""
        return self._supervision is not None

    async def alive(self) -> bool:
        """Whether the process answers."""
        return await self._answers("/health/live")

    async def ready(self) -> bool:
        """Whether the process can do its work."""
        return await self._answers("/health/ready")

    async def _answers(self, path: str) -> bool:
        # Another program may have taken the port since it was chosen, and would answer for us: another gateway would.
        if not self._listens():
            return False
        try:
            async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
                return (await client.get(self.health + path)).is_success
        except httpx.HTTPError:
            return False

    def _listens(self) -> bool:
        """Whether it is the process itself that listens where it is asked."""
        pid, port = self.process.pid, httpx.URL(self.health).port
        if pid is None:
            return False
        try:
            sockets = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)

    async def _supervise(self) -> None:
        backoff = Backoff(initial_seconds=0.2, max_seconds=5)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            code = await self.process.wait()
            self.restarts += 1
            logger.warning("%s ended with %d, starting it again", self.name, code, extra={"action": "worker_restart"})
            if loop.time() - started > 30:  # noqa: PLR2004 - it ran well for a while
                backoff.reset()
            await backoff.wait()
            try:
                await self.process.start()
            except StackError as error:
                logger.warning("%s", error, extra={"action": "worker_start_failed"})
