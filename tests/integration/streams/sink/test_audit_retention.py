"""The audit is kept for so many days."""

import pytest

from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from streams.sink.audit_retention import delete_expired_audit
from tests.support.readings import stores

FILL = """
INSERT INTO audit (at, who, name, by, role, method, path, outcome)
SELECT now() - make_interval(days => day), 'someone', 'someone', 'key', 'viewer', 'POST', '/', 'denied'
FROM generate_series(0, 9) AS day
"""


async def test_only_expired_entries_are_deleted(
    database: DatabaseSettings, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.sink.audit_retention.BATCH_ROWS", 3)
    await rows.execute(FILL)
    async with stores(database) as store:
        await delete_expired_audit(store.database, 5)
    assert await rows.fetchval("SELECT count(*) FROM audit") == 5
    assert await rows.fetchval("SELECT min(at) > now() - interval '5 days' FROM audit")
