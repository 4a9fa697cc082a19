"""Migrations of a real database: from nothing, again, at once, while the server is down, and back."""

import asyncio
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection

from gateway.stack.polling import wait_until
from gateway.stack.postgres import Postgres
from migrations.run import MigrationError, alembic_config, migrate
from schemas.settings.blocks import DatabaseSettings
from schemas.tables import metadata
from schemas.tables.partitioning import PARTITIONED
from tests.support.alembic import in_alembic
from tests.support.servers import Databases, connect, connection

DAY = re.compile(r".+_\d{8}")


async def tables(settings: DatabaseSettings) -> set[str]:
    connection = await connect(settings)
    found = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relname !~ '^(pg|sql)_'"
    )
    await connection.close()
    return {row["relname"] for row in found}


async def test_an_empty_database_gets_all_tables_and_a_week_of_days(databases: Databases) -> None:
    settings = await databases.empty()
    before = datetime.now(UTC).date()
    await migrate(settings)
    found = await tables(settings)
    assert {name for name in found if not DAY.fullmatch(name)} == {*metadata.tables, "alembic_version"}
    # A day may have begun meanwhile.
    weeks = [
        {f"{table}_{today + timedelta(days=offset):%Y%m%d}" for table in PARTITIONED for offset in range(-1, 8)}
        for today in (before, datetime.now(UTC).date())
    ]
    assert any(week <= found for week in weeks)


async def test_migrating_again_or_at_once_is_harmless(databases: Databases) -> None:
    settings = await databases.empty()
    await asyncio.gather(*(migrate(settings) for _ in range(3)))
    before = await tables(settings)
    await migrate(settings)
    assert await tables(settings) == before


async def test_the_tables_are_those_that_the_code_knows(database: DatabaseSettings) -> None:
    def differences(connection: Connection) -> list[Any]:
        def ours(entry: Any, name: str | None, kind: str, *_: Any) -> bool:
            return not (kind == "table" and entry is not None and name and DAY.fullmatch(name))

        options = {"compare_type": True, "compare_server_default": True, "include_object": ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await in_alembic(database, differences) == []


async def test_the_way_back_leaves_nothing_and_the_way_forth_works_again(databases: Databases) -> None:
    settings = await databases.migrated()
    await in_alembic(settings, lambda connection: command.downgrade(alembic_config(connection), "base"))
    assert await tables(settings) == {"alembic_version"}
    await migrate(settings)
    assert {*metadata.tables} <= await tables(settings)


async def test_a_database_that_is_not_there_is_told_at_once(databases: Databases) -> None:
    wrong = (await databases.empty()).model_copy(update={"db_name": "nowhere"})
    with pytest.raises(MigrationError, match='refused: database "nowhere" does not exist'):
        await migrate(wrong)


async def test_a_table_that_is_in_use_is_given_way_to_but_not_for_ever(database: DatabaseSettings) -> None:
    async with connection(database) as other:
        await other.execute("BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(MigrationError, match=r"a table .* was in use for 1 s; end transactions that stay open"):
            await migrate(database, wait_seconds=1)
        await other.execute("ROLLBACK")
    await migrate(database)


async def test_a_server_that_is_down_is_waited_for_but_not_for_ever(postgres: Postgres, caplog: Any) -> None:
    caplog.set_level("INFO")
    server = postgres
    settings = DatabaseSettings(db_host=server.host, db_port=server.port, db_user="gateway", db_name="gateway")
    began = time.monotonic()
    with pytest.raises(MigrationError, match=r"did not answer within 1 s .* check DB_HOST and DB_PORT"):
        await migrate(settings, wait_seconds=1)
    assert time.monotonic() - began < 20
    await server.start()
    settings = settings.model_copy(update={"db_password": SecretStr(server.password)})
    with pytest.raises(MigrationError, match="refused: password authentication failed"):
        await migrate(settings.model_copy(update={"db_password": SecretStr("wrong")}))
    # Asked to end, it waits for this client, and tells others that it is about to; then it is down; then it is back.
    lingering = await connect(settings)
    server.signal(signal.SIGTERM)

    async def refuses() -> bool:
        try:
            await (await connect(settings)).close()
        except asyncpg.CannotConnectNowError:
            return True
        return False

    assert await wait_until(refuses, 60)
    migrating = asyncio.create_task(migrate(settings))
    assert await wait_until(lambda: "waiting for PostgreSQL" in caplog.text, 60)
    await lingering.close()
    assert await wait_until(lambda: not server.running, 60)
    assert not migrating.done()
    await server.start()
    await migrating
    assert {*metadata.tables} <= await tables(settings)


async def test_what_waits_for_publication_moves_to_the_outbox_and_back(databases: Databases) -> None:
    settings = await databases.migrated()
    await in_alembic(settings, lambda connection: command.downgrade(alembic_config(connection), "0015"))
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    next_minute = noon + timedelta(minutes=1)
    async with connection(settings) as rows:
        await rows.executemany(
            "INSERT INTO commands (correlation_id, ven_id, op, payload, logged_at) VALUES ($1, 'a', 'ping', '{}', $2)",
            [("first", None), ("published", noon), ("second", None)],
        )
        await rows.execute(
            "INSERT INTO vens (ven_id, name, status) VALUES "
            "('known', 'x', 'disabled'), ('new', 'x', 'disabled'), ('unsure', 'x', 'disabled'), ('back', 'x', 'x')"
        )
        await rows.execute(
            "INSERT INTO disabled_told (ven_id, is_told) VALUES "
            "('known', true), ('unsure', false), ('back', true), ('deleted', true)"
        )
        await rows.executemany(
            "INSERT INTO telemetry_minutes (ven_id, time, samples, used_samples, used_sum, shed_samples, shed_sum) "
            "VALUES ('a', $1, 1, 0, 0, 0, 0)",
            [(noon,), (next_minute,)],
        )
        await rows.execute("UPDATE minutes_told SET told_up_to = $1", next_minute)
        await rows.execute("UPDATE rollup_progress SET rolled_up_to = $1", next_minute + timedelta(minutes=1))
        await rows.execute("INSERT INTO minutes_corrected VALUES ('a', $1)", noon)
        await rows.execute(
            "INSERT INTO dead_letters (id, time, source_topic, reason, detail, headers, payload, replays) "
            "VALUES ('letter', $1, 'ven.raw.metering', 'not_json', 'x', '{}', '', 2)",
            noon,
        )
        await rows.execute("INSERT INTO replay_requests VALUES ('letter', $1, 2)", noon)
    waiting = {
        ("command", "first", None),
        ("command", "second", None),
        ("disabled_ven", "new", None),
        ("disabled_ven", "unsure", None),
        ("disabled_ven", "back", None),
        ("disabled_ven", "deleted", None),
        ("minute", "a", noon),
        ("minute", "a", next_minute),
        ("replay", "letter", noon),
    }
    for _ in range(2):
        await migrate(settings)
        async with connection(settings) as rows:
            found = await rows.fetch("SELECT kind, key, time FROM outbox ORDER BY id")
        assert {tuple(row) for row in found} == waiting
        assert [row["key"] for row in found if row["kind"] == "command"] == ["first", "second"]
        await in_alembic(settings, lambda connection: command.downgrade(alembic_config(connection), "0015"))
    async with connection(settings) as rows:
        assert await rows.fetchval("SELECT attempt FROM replay_requests") == 2


async def test_an_upgrade_rolls_this_day_up_again_with_its_energy(databases: Databases) -> None:
    settings = await databases.migrated()
    await in_alembic(settings, lambda connection: command.downgrade(alembic_config(connection), "0020"))
    async with connection(settings) as rows:
        midnight = await rows.fetchval("SELECT date_trunc('day', now(), 'UTC')")
        await rows.execute(
            "INSERT INTO telemetry_minutes (ven_id, time, samples, used_samples, used_sum, shed_samples, shed_sum) "
            "VALUES ('a', $1, 1, 1, 6, 0, 0)",
            midnight,
        )
        await rows.execute("UPDATE rollup_progress SET rolled_up_to = $1", midnight + timedelta(hours=30))
        await migrate(settings)
        rolled_up_to = await rows.fetchval("SELECT rolled_up_to FROM rollup_progress")
    # A power of before midnight may hold at midnight.
    assert rolled_up_to <= midnight - timedelta(minutes=20)
