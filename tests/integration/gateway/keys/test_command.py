"""`gateway keys` and `gateway api`, run as commands against a database."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import asyncpg
import httpx
import pytest

from api.auth.startup_check import check_access_at_startup
from gateway.keys.operations import revoke_keys
from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from runtime.database import Connection, connect_options
from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings
from tests.support.access import bearer, keys_of_all_roles


async def gateway(settings: DatabaseSettings, folder: Path, *arguments: str, **more: str) -> asyncio.subprocess.Process:
    env = {
        **os.environ,
        "DB_HOST": settings.db_host,
        "DB_PORT": str(settings.db_port),
        "DB_USER": settings.db_user,
        "DB_PASSWORD": settings.db_password.get_secret_value(),
        "DB_NAME": settings.db_name,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        **more,
    }
    command = (sys.executable, "-m", "gateway", *arguments)
    return await asyncio.create_subprocess_exec(*command, env=env, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)


async def test_key_works_until_it_is_revoked(database: DatabaseSettings, rows: Connection, tmp_path: Path) -> None:
    async def run(*arguments: str, **more: str) -> tuple[int | None, str, str]:
        process = await gateway(database, tmp_path, *arguments, **more)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    port = str(reserve_ports(tmp_path / "ports.json", ["api"])["api"])
    public = {"API_HOST": "0.0.0.0", "API_PORT": port}  # noqa: S104
    code, _, err = await run("api", **public)
    assert code == 1
    assert "does not listen on 0.0.0.0" in err
    assert "gateway keys create" in err
    code, out, err = await run("keys", "create", "control room", "--role", "operator", "--days", "30")
    assert code == 0, err
    key = out.strip()
    assert key.startswith("gek_")
    assert key not in err
    process = await gateway(database, tmp_path, "api", **public)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:

            async def listens() -> bool:
                try:
                    return (await client.get("/health")).is_success
                except httpx.TransportError:
                    return False

            assert await wait_until(listens, 60)
            me = (await client.get("/api/me", headers=bearer(key))).json()
            assert (me["name"], me["role"]) == ("control room", "operator")
            code, out, _ = await run("keys", "revoke", me["id"])
            assert (code, out) == (0, f"Revoked {me['id']} (control room).\n")

            async def refused() -> bool:
                return (await client.get("/api/me", headers=bearer(key))).status_code == 401

            assert await wait_until(refused, 30), "within API_KEY_CACHE_SECONDS"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    code, out, _ = await run("keys", "list", "--json")
    (listed,) = json.loads(out)
    assert (listed["key_id"], listed["name"], listed["state"]) == (me["id"], "control room", "revoked")
    audit = await rows.fetch("SELECT by, path, outcome, result FROM audit ORDER BY id")
    assert [tuple(row) for row in audit] == [
        ("cli", "gateway keys create control room --role operator", "done", me["id"]),
        ("cli", f"gateway keys revoke {me['id']}", "done", None),
    ]


async def test_revoke_is_all_or_nothing(database: DatabaseSettings, rows: Connection) -> None:
    keys = await keys_of_all_roles(database)
    ids = [row["key_id"] for row in await rows.fetch("SELECT key_id FROM api_keys")]
    async with asyncpg.create_pool(**connect_options(database, "test"), min_size=0, max_size=1) as pool:
        with pytest.raises(GatewayError, match="there is no active key key-0;"):
            await revoke_keys(pool, [*ids, "key-0"])
        assert await rows.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == len(keys)
        assert len(await revoke_keys(pool, [*ids, *ids])) == len(keys)
        with pytest.raises(GatewayError, match=f"there is no active key {ids[0]};"):
            await revoke_keys(pool, ids[:1])


async def test_api_without_database_starts_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nowhere = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nowhere")
    await check_access_at_startup("127.0.0.1", AccessSettings(), nowhere)
    assert [record for record in caplog.records if record.name.startswith("api.auth")] == []
    await check_access_at_startup("0.0.0.0", AccessSettings(api_auth="open"), nowhere)  # noqa: S104
    assert "THE API IS OPEN" in caplog.text
    await check_access_at_startup("0.0.0.0", AccessSettings(), nowhere)  # noqa: S104
    assert "cannot look up API keys" in caplog.text
