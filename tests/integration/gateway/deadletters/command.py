"""Runs `gateway deadletters` as a child process, with the settings of one database."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings

WAIT = 60


CommandResult = tuple[int | None, str, str]


class DeadLettersCommand:
    """The command, with the settings of one database."""

    def __init__(self, settings: DatabaseSettings, folder: Path) -> None:
        self._env = {
            **os.environ,
            "DB_HOST": settings.db_host,
            "DB_PORT": str(settings.db_port),
            "DB_USER": settings.db_user,
            "DB_PASSWORD": settings.db_password.get_secret_value(),
            "DB_NAME": settings.db_name,
            "COLUMNS": "80",
        }
        self._folder = folder

    async def start(self, *arguments: str, stdin: int = DEVNULL, env: dict[str, str] | None = None) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "deadletters", *arguments),
            env=self._env | (env or {}),
            cwd=self._folder,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> CommandResult:
        return await finish(await self.start(*arguments, env=env))


async def finish(process: Process, given: bytes | None = None) -> CommandResult:
    out, err = await process.communicate(given)
    assert b"Traceback" not in err
    return process.returncode, out.decode(), err.decode()


async def replays(rows: Connection) -> list[str]:
    found = await rows.fetch("SELECT key FROM outbox WHERE kind = 'replay' ORDER BY time, key")
    return [row["key"] for row in found]


async def all_requested(rows: Connection, count: int) -> bool:
    async def are() -> bool:
        return len(await replays(rows)) == count

    return await wait_until(are, WAIT)


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]
