"""PostgreSQL with TLS, and what is said where it is not as the settings want it.

The PostgreSQL of the local stack is built without TLS, so a small front speaks it, as pgbouncer or a cloud does, and
one test asks the server of Debian, where it is installed.
"""

import asyncio
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.config import ApiConfig
from api.main import serve_api
from gateway.certs.authority import Authority
from gateway.stack.polling import port_open, wait_until
from gateway.stack.ports import reserve_ports
from gateway.stack.postgres import Postgres
from migrations.run import MigrationError, migrate
from runtime.database import check_database_tls, connect_options
from runtime.database_tls import diagnose_database_tls
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings, SettingsError, StreamsSettings
from streams.config import StreamsConfig
from streams.main import run_role
from streams.store.database import database as opened
from streams.store.database import now_of
from tests.support.paths import ROOT
from tests.support.servers import connect, settings_of

LOGIN = ROOT / "deploy" / "postgres" / "grafana-login.sql"
DEBIANS = next((found.parent for found in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))), None)
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class TlsProxy:
    """Speaks TLS with clients and hands on what they say; its certificate holds its name, and not its address."""

    def __init__(self, settings: DatabaseSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        authority = Authority.create("A CA")
        pair = authority.server(["localhost"], days=1)
        self.ca = self.put("ca.pem", authority.certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.put("server.pem", pair.certificate), self.put("server.key", pair.key))
        self.port = 0

    def put(self, name: str, content: bytes) -> str:
        (self._folder / name).write_bytes(content)
        return str(self._folder / name)

    def settings(self, **given: Any) -> DatabaseSettings:
        return self._settings.model_copy(update={"db_port": self.port, **given})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(8)
            if first == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
                first = b""
            back, forth = await asyncio.open_connection(self._settings.db_host, self._settings.db_port)
            forth.write(first)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, forth))
                both.create_task(_pass_on(back, writer))
        writer.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


@pytest_asyncio.fixture
async def front(database: DatabaseSettings, tmp_path: Path) -> AsyncIterator[TlsProxy]:
    made = TlsProxy(database, tmp_path)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


async def is_encrypted(settings: DatabaseSettings) -> bool:
    connection = await connect(settings)
    try:
        assert await connection.fetchval("SELECT 1") == 1
        return connection._transport.get_extra_info("ssl_object") is not None  # type: ignore[attr-defined]
    finally:
        await connection.close()


async def refusal(settings: DatabaseSettings) -> str:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - what it says is what the test looks at
        await asyncpg.connect(**connect_options(settings, "test"))
    said = diagnose_database_tls(caught.value) or ""
    with pytest.raises(MigrationError) as stopped:
        await migrate(settings, wait_seconds=30)
    assert str(stopped.value) == said
    return said


async def test_each_mode_against_a_server_with_tls(front: TlsProxy) -> None:
    modes = {"disable": False, "prefer": True, "require": True}
    assert {mode: await is_encrypted(front.settings(db_sslmode=mode)) for mode in modes} == modes
    trusted = {"db_sslrootcert": front.ca}
    assert await is_encrypted(front.settings(db_sslmode="verify-ca", **trusted))
    full = front.settings(db_sslmode="verify-full", db_host="localhost", **trusted)
    assert await is_encrypted(full)
    await migrate(full)


async def test_who_cannot_be_trusted_is_refused_at_once_with_the_setting(front: TlsProxy) -> None:
    full = front.settings(db_sslmode="verify-full", db_sslrootcert=front.ca)
    assert "set DB_HOST to a name" in await refusal(full)
    other = front.put("other.pem", Authority.create("Another CA").certificate)
    wrong = front.settings(db_sslmode="verify-ca", db_sslrootcert=other)
    assert "set DB_SSLROOTCERT to the CA" in await refusal(wrong)
    with pytest.raises(SettingsError, match="DB_SSLROOTCERT cannot be used"):
        connect_options(front.settings(db_sslmode="verify-ca", db_sslrootcert="/nowhere/ca.pem"), "test")


async def test_sink_and_api_do_not_start_with_a_database_that_they_cannot_trust(front: TlsProxy) -> None:
    other = front.put("other.pem", Authority.create("Another CA").certificate)
    wrong = front.settings(db_sslmode="verify-ca", db_sslrootcert=other)
    nowhere = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
    with pytest.raises(SettingsError, match="set DB_SSLROOTCERT to the CA"):
        await run_role(StreamsConfig("sink", nowhere, StreamsSettings(), wrong), asyncio.Event())
    with pytest.raises(SettingsError, match="set DB_SSLROOTCERT to the CA"):
        await asyncio.to_thread(serve_api, ApiConfig(ApiSettings(api_port=0), wrong, nowhere))
    # One that is away is waited for.
    await check_database_tls(wrong.model_copy(update={"db_port": 1}), "test")


async def test_what_turns_bad_while_the_sink_runs_is_named(front: TlsProxy, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(front.settings(db_sslmode="verify-full", db_sslrootcert=front.ca), "test") as database:
        working = asyncio.create_task(database.run(now_of))
        assert await wait_until(lambda: any("set DB_HOST to a name" in said for said in caplog.messages), 60)
        working.cancel()
        await asyncio.wait({working})


@pytest_asyncio.fixture
async def debians(front: TlsProxy) -> AsyncIterator[DatabaseSettings]:
    """A whole server that speaks TLS itself, with the certificate of the front."""
    assert DEBIANS is not None
    # Not below the folders of pytest, which only root may enter; the server does not run as root.
    with tempfile.TemporaryDirectory() as name:
        folder, account = Path(name), pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        as_account: dict[str, Any] = {"user": account.pw_uid} if os.geteuid() == 0 else {}
        os.chown(folder, account.pw_uid, account.pw_gid)
        create: list[str | Path] = [DEBIANS / "initdb", "-D", folder / "data", "-U", "gateway", "-A", "trust", "-N"]
        subprocess.run(create, check=True, cwd=folder, stdout=subprocess.DEVNULL, **as_account)  # noqa: ASYNC221
        for file in ("server.pem", "server.key"):
            shutil.copy(Path(front.ca).with_name(file), folder / "data")
            os.chown(folder / "data" / file, account.pw_uid, account.pw_gid)
            (folder / "data" / file).chmod(0o600)
        port = reserve_ports(Path(front.ca).with_name("ports.json"), ["postgres"])["postgres"]
        given = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "ssl": "on"}
        given |= {"ssl_cert_file": "server.pem", "ssl_key_file": "server.key", "port": str(port)}
        options = [word for key, value in given.items() for word in ("-c", f"{key}={value}")]
        command: list[str | Path] = [DEBIANS / "postgres", "-D", folder / "data", *options]
        server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **as_account)  # noqa: ASYNC220
        try:
            assert await wait_until(lambda: port_open(port), 60)
            yield front.settings(db_port=port, db_user="gateway", db_name="postgres")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


@pytest.mark.skipif(DEBIANS is None, reason="Debian's PostgreSQL server, which speaks TLS, is not installed")
async def test_debians_server_knows_that_it_is_spoken_to_over_tls(debians: DatabaseSettings, front: TlsProxy) -> None:
    full = debians.model_copy(update={"db_sslmode": "verify-full", "db_sslrootcert": front.ca, "db_host": "localhost"})
    connection = await connect(full)
    try:
        assert await connection.fetchval("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "TLSv1.3"
    finally:
        await connection.close()
    other = front.put("other.pem", Authority.create("Another CA").certificate)
    assert "set DB_SSLROOTCERT to the CA" in await refusal(full.model_copy(update={"db_sslrootcert": other}))


async def test_a_server_without_tls(database: DatabaseSettings) -> None:
    assert not await is_encrypted(database)
    assert "does not speak TLS" in await refusal(database.model_copy(update={"db_sslmode": "require"}))


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
async def test_the_login_of_grafana_is_made_and_made_again(postgres: Postgres) -> None:
    # A server of its own, for logins belong to the whole of it.
    await postgres.start()
    settings = settings_of(postgres)
    await migrate(settings)
    for password in ("first", "second"):
        env = {
            "PGHOST": settings.db_host,
            "PGPORT": str(settings.db_port),
            "PGUSER": settings.db_user,
            "PGPASSWORD": settings.db_password.get_secret_value(),
            "PGDATABASE": settings.db_name,
            "GRAFANA_DB_PASSWORD": password,
        }
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(LOGIN)]
        subprocess.run(command, env={**os.environ, **env}, check=True)  # noqa: ASYNC221 - nothing else runs
    connection = await connect(settings.model_copy(update={"db_user": "grafana", "db_password": SecretStr("second")}))
    try:
        assert await connection.fetchval("SELECT count(*) FROM vens") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM vens")
    finally:
        await connection.close()
