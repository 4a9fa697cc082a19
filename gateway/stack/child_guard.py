"""Children that end with their parent, even when the parent is killed outright.

A small guard process waits at a pipe of which only the parent holds the writing end. When the pipe closes, for whatever
reason, the guard stops what is registered with it. Portable: no process groups of the terminal, no Linux-only signals.
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
            keep_open: file descriptors it holds until all is ended, such as the lock of a data folder.
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
        """Tie a process to this one's life; `stop_signal` is what asks it to stop."""
        try:
            self._tell(f"+ {pid} {int(stop_signal)}")
        except BrokenPipeError as error:
            raise StackError("The guard of the child processes was killed: stop everything and start again.") from error

    def forget(self, pid: int) -> None:
        """A registered process has ended and been collected."""
        with contextlib.suppress(BrokenPipeError):  # a guard that was killed has forgotten already
            self._tell(f"- {pid}")

    async def close(self) -> None:
        """Let the guard end what is still registered, and itself."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        await asyncio.to_thread(self._process.wait)

    def _tell(self, line: str) -> None:
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
