"""A small disk for a server, to be filled; it is memory (tmpfs), and needs the right to mount it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

SIZE = "1500m"


def can_mount() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[None]:
    """Have a small disk at `folder`; an ordinary folder where that is not allowed."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    mounted = can_mount() and await _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(folder))
    try:
        yield
    finally:
        if mounted:
            await _run("umount", "--lazy", str(folder))


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Have no byte left on the disk of `folder` inside."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb") as file:
            _fill(file.fileno(), folder)
        yield
    finally:
        ballast.unlink()


def _fill(descriptor: int, folder: Path) -> None:
    size = 0
    while free := os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize:
        try:
            os.posix_fallocate(descriptor, size, free)
        except OSError:  # somebody was quicker
            continue
        size += free


async def _run(*command: str) -> bool:
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True)
    return done.returncode == 0
