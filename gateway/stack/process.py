"""One child process, started, stopped, killed and restarted by name."""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from gateway.stack.child_guard import Guard
from gateway.stack.child_guard_main import alive, process_tree, send
from gateway.stack.errors import StackError
from gateway.stack.polling import wait_until

_TAIL_LINES = 12
_TAIL_BYTES = 8_000


class Process:
    """One child process: started, stopped, killed and restarted by name; logs to its own file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path,
        guard: Guard,
        ready: Callable[[], Awaitable[bool]] | None = None,
        ready_timeout: float = 60,
        stop_signal: int = signal.SIGTERM,
        account: tuple[int, int] | None = None,
    ) -> None:
        """Describe the process; nothing is started yet.

        Args:
            name: how messages speak of it.
            argv: the program and its arguments.
            env: variables added to those of this process.
            cwd: the folder it starts in.
            log: the file that takes its output; appended to.
            guard: ends the process should this one end without doing so.
            ready: says whether the process does its work yet; without it, started is ready.
            ready_timeout: seconds after which a process that is not ready counts as failed.
            stop_signal: what asks it to stop in good order.
            account: user and group id to run as; needs root.
        """
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._env = dict(env or {})
        self._cwd = cwd
        self._guard = guard
        self._ready = ready
        self._ready_timeout = ready_timeout
        self._stop_signal = stop_signal
        self._account = account
        self._popen: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen and self.running else None

    @property
    def returncode(self) -> int | None:
        """The exit code of the last run, negative for a signal; None while running or never started."""
        return self._popen.returncode if self._popen else None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    async def start(self) -> None:
        """Start and wait until ready; a StackError carries the end of the log when that fails."""
        if self.running:
            raise StackError(f"{self.name} is already running: stop it first.")
        self._spawn()
        if self._ready is None:
            return
        try:
            ready = await wait_until(self._settled, self._ready_timeout)
        except BaseException:
            await self.kill()
            raise
        if not self.running:
            await self._ended.wait()
            raise StackError(f"{self.name} ended with code {self.returncode} while starting: {self.see_log()}")
        if not ready:
            await self.kill()
            raise StackError(f"{self.name} did not answer within {self._ready_timeout:.0f} s: {self.see_log()}")

    async def stop(self, timeout: float = 10) -> int:  # noqa: ASYNC109 - a deadline for the child, not for the caller
        """Ask it to stop, kill it after `timeout` seconds; returns the exit code, 0 when it never ran."""
        if self.running:
            self.signal(self._stop_signal)
            try:
                await asyncio.wait_for(self._ended.wait(), timeout)
            except TimeoutError:
                await self.kill()
        elif self._popen:
            await self._ended.wait()
        return self.returncode or 0

    async def kill(self) -> None:
        """End it and its own children at once, as a power cut would, and wait until they are gone."""
        if self._popen is None:
            return
        members = self._process_tree()
        for member in members:
            send(member, signal.SIGKILL)
        await self._ended.wait()
        await wait_until(lambda: not any(alive(member) for member in members), timeout=5)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def signal(self, sig: int) -> None:
        """Send a signal; nothing happens when it is not running."""
        if self._popen:
            self._popen.send_signal(sig)

    async def wait(self) -> int:
        """Wait for it to end; returns the exit code."""
        if self._popen is None:
            raise StackError(f"{self.name} was never started: start it first.")
        popen = self._popen
        await self._ended.wait()
        return popen.returncode

    def _process_tree(self) -> list[psutil.Process]:
        try:
            return process_tree(psutil.Process(self.pid)) if self.pid else []
        except psutil.NoSuchProcess:
            return []

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        user, group = self._account or (None, None)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._popen = subprocess.Popen(
                    self._argv,
                    env=os.environ | self._env,
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=user,
                    group=group,
                    extra_groups=None if self._account is None else [],
                )
            except OSError as error:
                raise StackError(f"{self.name} could not be started ({error}): check its installation.") from error
        self._guard.register(self._popen.pid, self._stop_signal)
        self._ended = asyncio.Event()
        # A thread rather than asyncio's own child handling: that cannot change the user on every event loop.
        threading.Thread(
            target=self._collect, args=(self._popen, self._ended, asyncio.get_running_loop()), daemon=True
        ).start()

    def _collect(self, popen: subprocess.Popen[bytes], ended: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        popen.wait()

        def finish() -> None:
            self._guard.forget(popen.pid)
            ended.set()

        # The loop may be closed by now: then nobody waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(finish)

    async def _settled(self) -> bool:
        """Nothing left to wait for: it has ended, or it is ready."""
        return not self.running or (self._ready is not None and await self._ready())

    def see_log(self) -> str:
        """Where the log is, and how it ends."""
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join([f"see {self.log}, which ends with", *(f"  {line}" for line in lines[-_TAIL_LINES:])])


async def run(process: Process) -> None:
    """Run a process to its end; a StackError when it did not end well."""
    await process.start()
    try:
        code = await process.wait()
    except BaseException:
        await process.kill()
        raise
    if code:
        raise StackError(f"{process.name} failed with code {code}: {process.see_log()}")
