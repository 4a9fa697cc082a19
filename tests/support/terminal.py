"""A shell that a test types commands into, as a reader of the documents does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.stack.polling import wait_until

_DONE = "__done__"


class Terminal:
    """One bash that lives as long as the test, so that variables stay."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors

    async def run(self, commands: str) -> str:
        """Type commands and return what they print; an error of the last one fails the test."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{commands}\nprintf '\\n%s%d\\n' {_DONE} $?\n".encode())
        printed = (await self._process.stdout.readuntil(_DONE.encode())).decode().removesuffix(_DONE)
        code = (await self._process.stdout.readline()).strip()
        assert code == b"0", f"{commands}\nexited with {code.decode()}: {printed}{self._errors.read_text()}"
        return printed

    async def until(self, commands: str, shown: Callable[[str], bool], seconds: float = 60) -> str:
        """Type commands again and again until they show what they should."""
        last = ""

        async def right() -> bool:
            nonlocal last
            last = await self.run(commands)
            return shown(last)

        assert await wait_until(right, seconds, every=0.3), f"{commands}\nshowed {last}"
        return last


@asynccontextmanager
async def terminal(folder: Path, env: Mapping[str, str]) -> AsyncIterator[Terminal]:
    # Apart: curl tells its progress there, in the midst of what it prints.
    errors = folder / "stderr.txt"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc"),
            cwd=folder,
            env=dict(env),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=2**22,
        )
    try:
        yield Terminal(process, errors)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
