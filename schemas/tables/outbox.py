"""The transactional outbox: what has changed in the database and is still to be published to Kafka."""

from typing import Literal

from sqlalchemy import BigInteger, Column, DateTime, Identity, Table, Text, text

from schemas.tables.metadata import metadata

OutboxKind = Literal["command", "disabled_ven", "minute", "power_limit", "replay"]
"""What a row refers to: a row of `commands`, `vens`, `telemetry_minutes` or `dead_letters`."""

# The statement that makes a change inserts its rows here, so a change and its row commit together. A row names what to
# publish by its primary key: `key`, and `time` where the table is partitioned by day. The publisher reads the values
# when it publishes them, so several rows for one key publish the newest values. It deletes a row once Kafka has the
# record. Rows of `disabled_ven` and `power_limit` come from
# triggers on `vens`.
outbox = Table(
    "outbox",
    metadata,
    Column("kind", Text, primary_key=True),
    # The order of publication within a kind. Transactions may commit in another order than that of their ids.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, nullable=False),
    Column("time", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
