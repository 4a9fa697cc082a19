"""Which words of an ack are good, which are refusals, and which are neither; and how an ack was timed."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# True for a good word, false for a refusal, null for any other word.
IS_GOOD_ACK = """
CREATE OR REPLACE FUNCTION is_good_ack(status text) RETURNS boolean IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN lower(status) IN ('accepted', 'accept', 'ok', 'success', 'succeeded', 'completed', 'done') THEN true
    WHEN lower(status) IN ('rejected', 'refused', 'failed', 'error', 'declined', 'denied', 'optout', 'opt_out')
        THEN false
END
"""

# A command with an ack of any other word is answered, so it stays `sent` and cannot become `unanswered`.
COMMAND_STATE = """
CREATE OR REPLACE FUNCTION command_state(command commands) RETURNS text IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN command.acked_at IS NOT NULL
        THEN CASE is_good_ack(command.ack_status)
            WHEN true THEN 'acknowledged' WHEN false THEN 'refused' ELSE 'sent' END
    WHEN command.expired_at IS NOT NULL AND NOT may_have_arrived(command) THEN 'expired'
    WHEN command.unanswered_at IS NOT NULL THEN 'unanswered'
    WHEN command.sent_at IS NOT NULL OR command.reported_at IS NOT NULL THEN 'sent'
    WHEN command.sending_at IS NOT NULL THEN 'sending'
    WHEN command.logged_at IS NOT NULL THEN 'logged'
    ELSE 'decided'
END
"""

IS_GOOD_ACK_BEFORE = """
CREATE OR REPLACE FUNCTION is_good_ack(status text) RETURNS boolean IMMUTABLE PARALLEL SAFE
RETURN COALESCE(status IN ('accepted', 'success'), false)
"""
COMMAND_STATE_BEFORE = """
CREATE OR REPLACE FUNCTION command_state(command commands) RETURNS text IMMUTABLE PARALLEL SAFE
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


def upgrade() -> None:
    op.execute(IS_GOOD_ACK)
    op.execute(COMMAND_STATE)
    op.execute("ALTER TABLE ven_acks RENAME COLUMN said_at TO device_time")
    op.execute("ALTER TABLE ven_acks ADD COLUMN timed_by_arrival boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE ven_acks DROP COLUMN timed_by_arrival")
    op.execute("ALTER TABLE ven_acks RENAME COLUMN device_time TO said_at")
    op.execute(COMMAND_STATE_BEFORE)
    op.execute(IS_GOOD_ACK_BEFORE)
