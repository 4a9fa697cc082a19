"""A migration of the busiest tables while rows are written, and while somebody keeps a table to himself."""

import asyncio
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.stack.polling import wait_until
from migrations.run import SCRIPTS, alembic_config, migrate
from schemas.settings.blocks import DatabaseSettings
from tests.faults.fault_run import WAIT, FaultRunner, direct_database
from tests.faults.systems import on
from tests.support.alembic import in_alembic
from tests.support.servers import connection

REVISION = '''"""Adds a column and a constraint to the busiest tables, for which it needs them to itself."""

from alembic import op

revision = "under_load"
down_revision = "{head}"
branch_labels = None
depends_on = None

TABLES = ("ven_status", "telemetry_loads", "telemetry_readings")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {{table}} ADD COLUMN under_load text")
        op.execute(f"ALTER TABLE {{table}} ADD CONSTRAINT under_load CHECK (under_load <> '') NOT VALID")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {{table}} DROP COLUMN under_load")
'''

pytestmark = [on("plain"), pytest.mark.timeout(300)]


def with_one_more(folder: Path) -> Path:
    """Copy the migrations, with one more after the last."""
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    (folder / "versions" / "9999_under_load.py").write_text(REVISION.format(head=head))
    return folder


async def undone(settings: DatabaseSettings, scripts: Path) -> bool:
    """Go back one migration, for the tests that come after; False when it met the writers crosswise."""

    def downgrade(connection: Connection) -> None:
        command.downgrade(alembic_config(connection, scripts), "-1")

    try:
        await in_alembic(settings, downgrade)
    except DBAPIError:
        return False
    return True


async def test_a_migration_does_not_block_inserts(fault_runner: FaultRunner, tmp_path: Path) -> None:
    scripts = with_one_more(tmp_path / "migrations")
    settings = direct_database(fault_runner.system)
    async with fault_runner.run("migration of hot tables") as run:
        for _ in range(3 if fault_runner.full else 1):
            await run.random_moment()
            async with connection(settings) as reader:
                # A report that reads for long: the migration has to wait for it, and nobody for the migration.
                transaction = reader.transaction()
                await transaction.start()
                await reader.fetchval("SELECT count(*) FROM telemetry_readings LIMIT 1")
                migrating = asyncio.create_task(migrate(settings, scripts=scripts))
                await run.random_moment()
                before = run.fleet.accepted
                assert await wait_until(lambda: run.storage.stored > before, WAIT), "rows wait for the migration"  # noqa: B023
                assert not migrating.done()
                await transaction.rollback()
            await asyncio.wait_for(migrating, WAIT)
            await run.random_moment()
            assert await wait_until(lambda: undone(settings, scripts), WAIT)
            run.times += 1
