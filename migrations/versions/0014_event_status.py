"""The status of an event and the presence of a VEN: a view and a function for sink, REST and feed."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# When an event is over: its planned end, or an earlier one.
OVER_AT = "ALTER TABLE events ADD COLUMN over_at timestamptz GENERATED ALWAYS AS (COALESCE(ended_at, end_time)) STORED"

UNSETTLED = """
CREATE INDEX events_unsettled ON events (closed_at)
WHERE closed_at IS NOT NULL AND cancelled_at IS NULL AND deleted_at IS NULL
    AND (settled_at IS NULL OR settled_at - GREATEST({over_at}, created_at) < interval '24 hours')
"""

# Events with their status, which follows from their times by the database's clock. An event that is settled is not
# computed again to be shown. Its acks are looked for from `acks_from` to `acks_to`, because
# the clocks of devices may be off.
EVENT_OVERVIEW = """
CREATE VIEW event_overview AS
SELECT e.event_id, e.start_time, e.end_time, e.requested_reduction_kw, e.ven_ids, e.created_at, e.started_at,
       e.ended_at, e.cancelled_at, e.deleted_at, e.closed_at, e.over_at, e.missed, e.actual_reduction_kw,
       e.closed_at IS NOT NULL AND e.settled_at IS NOT NULL AS is_settled,
       LEAST(e.created_at, e.start_time) - interval '7 days' AS acks_from,
       GREATEST(e.created_at, e.over_at) + interval '7 days' AS acks_to,
       CASE
           WHEN e.cancelled_at IS NOT NULL THEN 'cancelled'
           WHEN e.over_at <= now() THEN 'completed'
           WHEN e.start_time <= now() THEN 'active'
           ELSE 'scheduled'
       END AS status
FROM events AS e
"""

# `disabled` stays until an operator patches it. A status that was given stays until the VEN makes contact; from then on
# its readings and last will decide. Offline is a VEN without a reading for so many seconds.
PRESENCE = """
CREATE FUNCTION ven_presence(ven vens, latest ven_status, offline_after double precision) RETURNS text
STABLE PARALLEL SAFE
RETURN CASE
    WHEN ven.status = 'disabled' THEN 'disabled'
    WHEN latest.received_at IS NULL OR latest.received_at < ven.status_set_at THEN ven.status
    WHEN latest.reading_received_at > now() - offline_after * interval '1 second'
        AND latest.reading_received_at > COALESCE(latest.left_at, '-infinity') THEN 'online'
    ELSE 'offline'
END
"""

STATEMENTS = (
    OVER_AT,
    "DROP INDEX events_unsettled",
    UNSETTLED.format(over_at="over_at"),
    EVENT_OVERVIEW,
    PRESENCE,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION ven_presence")
    op.execute("DROP VIEW event_overview")
    op.execute("DROP INDEX events_unsettled")
    op.execute("ALTER TABLE events DROP COLUMN over_at")
    op.execute(UNSETTLED.format(over_at="COALESCE(ended_at, end_time)"))
