"""The command index: the last attempt of each command, built from ven.command-log in its order. No I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.records.commands import DeliveryEvidence, DeliveryState

# Clocks of bridges differ; to keep an entry longer does no harm.
_KEPT_AFTER_EXPIRY = timedelta(minutes=10)


@dataclass(slots=True)
class CommandStatus:
    """The last attempt of a command in the command log; without `expires_at` it never expires.

    `claimed_here`: this process claimed the attempt first, and so it alone may send it.
    """

    ven_id: str
    attempt: int
    state: DeliveryState
    expires_at: datetime | None
    claimed_here: bool = False


class CommandIndex:
    """Applies the records of the command log one by one; to apply a record twice changes nothing."""

    def __init__(self) -> None:
        self._commands: dict[str, CommandStatus] = {}

    def __len__(self) -> int:
        return len(self._commands)

    def get(self, correlation_id: str) -> CommandStatus | None:
        """Return the status of a command; None if the log has no record of it."""
        return self._commands.get(correlation_id)

    def apply(self, evidence: DeliveryEvidence, *, written_here: bool) -> None:
        """Apply the next record of the log; `written_here` if this process wrote it.

        The first record of an attempt is its claim. `sent` is final: no later attempt may be sent.
        """
        status = self._commands.get(evidence.correlation_id)
        if status is None or (evidence.attempt > status.attempt and status.state != "sent"):
            self._commands[evidence.correlation_id] = CommandStatus(
                evidence.ven_id, evidence.attempt, evidence.state, evidence.expires_at, claimed_here=written_here
            )
        elif evidence.state == "sent" or (evidence.state == "expired" and evidence.attempt == status.attempt):
            status.state = "sent" if status.state == "sent" else evidence.state

    def may_send(self, correlation_id: str, attempt: int) -> bool:
        """Whether this process claimed the attempt first, and no record says that it was sent or has expired."""
        status = self._commands.get(correlation_id)
        return status is not None and status.claimed_here and status.attempt == attempt and status.state == "sending"

    def prune(self, now: datetime) -> None:
        """Remove commands that can no longer be sent."""
        self._commands = {name: status for name, status in self._commands.items() if not _is_over(status, now)}


def _is_over(status: CommandStatus, now: datetime) -> bool:
    # Not converted to UTC: other writers may give a time that does not exist there.
    return status.expires_at is not None and status.expires_at < now - _KEPT_AFTER_EXPIRY
