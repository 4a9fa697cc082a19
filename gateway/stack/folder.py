"""One data folder belongs to one running stack."""

import fcntl
from pathlib import Path
from typing import IO

from gateway.stack.errors import StackError
from gateway.stack.polling import wait_until

_GUARD_DEADLINE = 12.0


class FolderLock:
    """Two locks: one for as long as the stack lives, one until its guard has ended the last child too.

    Both are let go by the operating system when their holders end, so neither can be left behind.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[IO[str]] = []

    async def acquire(self) -> int:
        """Take the folder; returns the descriptor that the guard process must keep open."""
        if not self._take("stack.lock"):
            raise StackError(
                f"{self._folder} is in use by another running gateway: stop that one, or choose another folder."
            )
        if not await wait_until(lambda: self._take("guard.lock"), _GUARD_DEADLINE, every=0.1):
            self.release()
            raise StackError(
                f"The servers of an earlier run in {self._folder} are still stopping: try again in a few seconds."
            )
        return self._held[-1].fileno()

    def release(self) -> None:
        while self._held:
            self._held.pop().close()

    def _take(self, name: str) -> bool:
        file = (self._folder / name).open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._held.append(file)
        return True
