"""The audit: what is past keeping goes, some at a time, for requests write in it meanwhile."""

from functools import partial

from runtime.database import Connection
from streams.store.database import Database

PIECE = 1000
FORGET = """
DELETE FROM audit WHERE id IN (
    SELECT id FROM audit WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


async def forget_old_audit(database: Database, days: int) -> None:
    """Delete the entries that are older than so many days."""
    while await database.run(partial(_forget, days=days)) == f"DELETE {PIECE}":
        pass


async def _forget(connection: Connection, days: int) -> str:
    return await connection.execute(FORGET, days, PIECE)
