"""PostgreSQL in the foreground, on TCP only, with a password made for this data folder."""

import asyncio
import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil

from gateway.stack.account import Account, choose_account
from gateway.stack.child_guard import Guard
from gateway.stack.errors import StackError
from gateway.stack.polling import port_open, wait_until
from gateway.stack.process import Process, run
from gateway.stack.server import Server

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Postgres(Server):
    """The database `gateway` of the user `gateway`, on loopback."""

    title = "PostgreSQL"
    user = "gateway"
    database = "gateway"

    def __init__(self, folder: Path, *, port: int, log: Path, guard: Guard, progress: Callable[[str], None]) -> None:
        super().__init__(port, progress)
        self._folder = folder
        self._data = folder / "data"
        self._password_file = folder / "password"
        self._log = log
        self._guard = guard

    @property
    def password(self) -> str:
        return self._password_file.read_text(encoding="utf-8").strip()

    async def _prepare(self) -> Process:
        account = await asyncio.to_thread(choose_account, self._data)
        programs = await asyncio.to_thread(account.programs)
        if not self._data.exists():
            await self._create(account, programs)
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        return Process(
            self.title,
            [str(programs / "postgres"), "-D", account.folder(self._data), "-p", str(self.port), *settings],
            cwd=self._data,
            log=self._log,
            guard=self._guard,
            ready=self._answers,
            # Not SIGTERM, upon which PostgreSQL waits for its clients to leave.
            stop_signal=signal.SIGINT,
            account=account.ids,
        )

    async def _create(self, account: Account, programs: Path) -> None:
        """Created beside its place and then moved, so that a folder of that name is always a whole cluster."""
        fresh = self._folder / "creating"
        if fresh.exists():
            shutil.rmtree(fresh)
        for folder in (self._folder, fresh):
            folder.mkdir(mode=0o700, exist_ok=True)
            account.give_ownership(folder)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        account.give_ownership(self._password_file)
        await run(
            Process(
                "initdb",
                [
                    str(programs / "initdb"),
                    f"--pgdata={account.folder(fresh)}",
                    f"--username={self.user}",
                    f"--pwfile=../{self._password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                ],
                cwd=fresh,
                log=self._log,
                guard=self._guard,
                account=account.ids,
            )
        )
        fresh.rename(self._data)

    async def _before_start(self) -> None:
        """Where only the main process was killed, its helpers end a moment later; a new one refuses to start before."""
        if not await wait_until(lambda: not self._helpers(), timeout=3):
            for helper in self._helpers():
                helper.kill()
            await wait_until(lambda: not self._helpers(), timeout=3)

    def _helpers(self) -> list[psutil.Process]:
        data = str(self._data.resolve())
        return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == data]

    async def _answers(self) -> bool:
        if not await port_open(self.port):
            return False
        try:
            connection = await self._connect("postgres")
        except asyncpg.InvalidPasswordError as error:
            raise StackError(
                f"The password in {self._password_file} does not open the database: put back the right one, "
                f"or remove {self._folder} to begin anew."
            ) from error
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        await connection.close()
        return True

    async def _after_start(self) -> None:
        connection = await self._connect("postgres")
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", self.database):
                await connection.execute(f'CREATE DATABASE "{self.database}"')
        finally:
            await connection.close()

    async def _connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, database=database, ssl=False
        )
