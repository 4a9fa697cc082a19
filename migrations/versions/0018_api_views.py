"""Views and functions that statements of the API share. PostgreSQL inlines them, so indexes are used as before."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

VALID_API_KEYS = """
CREATE VIEW valid_api_keys AS
SELECT key_id, digest, name, role, expires_at FROM api_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""

# Each reading in the form of a rollup. Less than a microwatt adds nothing, as in the rollups.
READING_SUMS = """
CREATE VIEW reading_sums AS
SELECT ven_id, time, (used_power_kw IS NOT NULL)::int AS used_samples,
       CASE WHEN abs(used_power_kw) >= 1e-9 THEN used_power_kw ELSE 0 END AS used_sum,
       (shed_power_kw IS NOT NULL)::int AS shed_samples,
       CASE WHEN abs(shed_power_kw) >= 1e-9 THEN shed_power_kw ELSE 0 END AS shed_sum,
       event_id, requested_reduction_kw
FROM telemetry_readings
"""

# The loads of a VEN in [begin_at, end_at) as its readings and load snapshots list them; all loads where `one_load` is
# null. A reading wins over a snapshot of the same second. Its time is bounded twice: only a comparison with a parameter
# prunes partitions.
LISTED_LOADS = """
CREATE FUNCTION listed_loads(of_ven text, begin_at timestamptz, end_at timestamptz, one_load text)
RETURNS TABLE (
    "time" timestamptz, load_id text, name text, type text, capacity_kw double precision,
    current_power_kw double precision, shed_capability_kw double precision, enabled boolean, priority integer
) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT l.time, l.load_id, l.name, l.type, l.capacity_kw, l.current_power_kw, l.shed_capability_kw, l.enabled,
           l.priority
    FROM telemetry_loads AS l
    WHERE l.ven_id = of_ven AND l.time >= begin_at AND l.time < end_at AND (one_load IS NULL OR l.load_id = one_load)
    UNION ALL
    SELECT s.time, s.load_id, s.name, s.type, s.capacity_kw, s.current_power_kw, s.shed_capability_kw, s.enabled,
           s.priority
    FROM load_snapshots AS s
    WHERE s.ven_id = of_ven AND s.time >= begin_at AND s.time < end_at AND (one_load IS NULL OR s.load_id = one_load)
        AND NOT EXISTS (
            SELECT FROM telemetry_loads AS l
            WHERE l.ven_id = of_ven AND l.load_id = s.load_id
                AND l.time >= date_trunc('second', s.time)
                AND l.time < date_trunc('second', s.time) + interval '1 second'
                AND l.time >= date_trunc('second', begin_at)
                AND l.time < end_at + interval '1 second'
        );
END
"""

# Commands and shares that outlive the deletion of their VEN. If the VEN registers again during an event, it must not be
# sent the event's command a second time. A restore must reach Kafka, or the VEN would shed on. An operator's command to
# shed is retained until its time is over.
RETAINED_COMMANDS = """
CREATE VIEW retained_commands AS
SELECT c.correlation_id, c.ven_id FROM commands AS c
WHERE c.phase IS NOT NULL
        AND (c.logged_at IS NULL
             OR EXISTS (SELECT FROM events AS e WHERE e.event_id = c.event_id AND e.closed_at IS NULL))
    OR c.phase IS NULL AND c.op IN ('event', 'shedPanel') AND c.ends_at > now()
"""
RETAINED_EVENT_VENS = """
CREATE VIEW retained_event_vens AS
SELECT v.event_id, v.ven_id FROM event_vens AS v
WHERE EXISTS (SELECT FROM events AS e WHERE e.event_id = v.event_id AND e.closed_at IS NULL)
"""


def upgrade() -> None:
    for statement in (VALID_API_KEYS, READING_SUMS, LISTED_LOADS, RETAINED_COMMANDS, RETAINED_EVENT_VENS):
        op.execute(statement)


def downgrade() -> None:
    for view in ("retained_event_vens", "retained_commands", "reading_sums", "valid_api_keys"):
        op.execute(f"DROP VIEW {view}")
    op.execute("DROP FUNCTION listed_loads")
