"""Ends child processes with their parent, even if the parent is killed.

A small guard process reads from a pipe whose writing end only the parent holds. When the pipe closes for any
reason, the guard stops the registered processes. Portable: no process groups of the terminal, no Linux-only signals.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.stack.errors import StackError

_WATCH = Path(__file__).with_name("child_guard_main.py")


class Guard:
    """The parent's handle on its guard process."""

    def __init__(self, keep_open: Sequence[int] = ()) -> None:
        """Start the guard process.

        Args:
            keep_open: file descriptors that stay open until all processes have ended, such as the lock of a folder.
        """
        self._process = subprocess.Popen(
            # -P: the folder of the script, with its kafka.py and the like, stays off the import path.
            [sys.executable, "-P", str(_WATCH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            # Its own session: Ctrl-C reaches only the parent, which ends its children in order.
            start_new_session=True,
            pass_fds=keep_open,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def register(self, pid: int, stop_signal: int) -> None:
        """End this process with the parent; `stop_signal` asks it to stop."""
        try:
            self._send(f"+ {pid} {int(stop_signal)}")
        except BrokenPipeError as error:
            raise StackError("The guard of the child processes was killed: stop everything and start again.") from error

    def forget(self, pid: int) -> None:
        """A registered process has ended and been collected."""
        with contextlib.suppress(BrokenPipeError):  # the guard was killed
            self._send(f"- {pid}")

    async def close(self) -> None:
        """Let the guard end the registered processes, then itself."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        await asyncio.to_thread(self._process.wait)

    def _send(self, line: str) -> None:
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
