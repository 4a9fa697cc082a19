"""Commands and their history as REST shows them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from api.views.acks import ack_view
from schemas.rest.command_history import CommandAck, CommandHistory, CommandSteps

_SAME_NAMES = (
    "correlation_id",
    "ven_id",
    "op",
    "event_id",
    "phase",
    "command_revision",
    "attempt",
    "state",
    "logged_at",
    "sending_at",
    "sent_at",
    "acked_at",
    "ack_status",
    "reported_at",
    "shed_at",
    "expired_at",
    "unanswered_at",
    "lost_at",
    "expires_at",
    "ends_at",
)


def command_steps_view(row: Any) -> CommandSteps:
    """Make a command of its row."""
    return CommandSteps(**_fields(row))


def command_history_view(row: Any, acks: Sequence[Any]) -> CommandHistory:
    """Make a command of its row, with its acknowledgements."""
    return CommandHistory(
        **_fields(row), ack_count=acks[0]["all_acks"] if acks else 0, acks=[_ack(ack) for ack in acks]
    )


def _fields(row: Any) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _SAME_NAMES},
        "payload": msgspec.json.decode(row["payload"]),
        "decided_at": row["created_at"],
    }


def _ack(row: Any) -> CommandAck:
    return CommandAck(**dict(ack_view(row)), received_at=row["received_at"], late=row["late"])
