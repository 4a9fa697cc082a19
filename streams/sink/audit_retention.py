"""Deletes old audit entries, in small transactions because requests write to the table meanwhile."""

from functools import partial

from runtime.database import Connection
from streams.store.database import Database

BATCH_ROWS = 1000
DELETE_EXPIRED = """
DELETE FROM audit WHERE id IN (
    SELECT id FROM audit WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


async def delete_expired_audit(database: Database, retention_days: int) -> None:
    """Delete the entries that are older than `retention_days`."""
    while await database.run(partial(_delete_batch, retention_days=retention_days)) == f"DELETE {BATCH_ROWS}":
        pass


async def _delete_batch(connection: Connection, retention_days: int) -> str:
    return await connection.execute(DELETE_EXPIRED, retention_days, BATCH_ROWS)
