"""The state of a command, and which words of an ack are good: functions that the sink, REST and the live feed call.

PostgreSQL inlines these functions and the view into the statements that use them. Their bodies are parsed when they are
created, so a column that one of them reads cannot be dropped unnoticed.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Which words of an ack are good. Every other word is a refusal.
IS_GOOD_ACK = """
CREATE FUNCTION is_good_ack(status text) RETURNS boolean IMMUTABLE PARALLEL SAFE
RETURN COALESCE(status IN ('accepted', 'success'), false)
"""

MAY_HAVE_ARRIVED = """
CREATE FUNCTION may_have_arrived(command commands) RETURNS boolean IMMUTABLE PARALLEL SAFE
RETURN COALESCE(command.sending_at, command.sent_at, command.acked_at, command.reported_at) IS NOT NULL
"""

# An ack counts before what the steps of delivery show.
COMMAND_STATE = """
CREATE FUNCTION command_state(command commands) RETURNS text IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN command.acked_at IS NOT NULL
        THEN CASE WHEN is_good_ack(command.ack_status) THEN 'acknowledged' ELSE 'refused' END
    WHEN command.expired_at IS NOT NULL AND NOT may_have_arrived(command) THEN 'expired'
    WHEN command.unanswered_at IS NOT NULL THEN 'unanswered'
    WHEN command.sent_at IS NOT NULL OR command.reported_at IS NOT NULL THEN 'sent'
    WHEN command.sending_at IS NOT NULL THEN 'sending'
    WHEN command.logged_at IS NOT NULL THEN 'logged'
    ELSE 'decided'
END
"""

# Commands by which a VEN sheds now. A restore ends whatever is active, and a device ends an event by itself; after
# either the VEN is free. In a DR event it is not free before the event is closed, though its time is over: the restore
# is yet to be decided, and would end what the VEN sheds meanwhile.
ACTIVE_SHEDS = """
CREATE VIEW active_sheds AS
SELECT c.correlation_id, c.ven_id, c.event_id, c.phase, c.ends_at, c.seq
FROM commands AS c
WHERE c.op IN ('event', 'shedPanel') AND (c.expired_at IS NULL OR may_have_arrived(c))
    AND (c.ends_at > now()
         OR c.phase = 'event' AND EXISTS (SELECT FROM events AS e WHERE e.event_id = c.event_id
                                              AND e.closed_at IS NULL AND c.ends_at >= e.end_time))
"""

STATEMENTS = (IS_GOOD_ACK, MAY_HAVE_ARRIVED, COMMAND_STATE, ACTIVE_SHEDS)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP VIEW active_sheds")
    for function in ("command_state", "may_have_arrived", "is_good_ack"):
        op.execute(f"DROP FUNCTION {function}")
