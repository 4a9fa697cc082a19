"""What is known of commands that can still be sent: the command log, read in its order, as a table. No I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.records.commands import DeliveryEvidence, DeliveryState

# Clocks of bridges differ, and to know of a command for a while longer does no harm.
_REMEMBERED = timedelta(minutes=10)


@dataclass(slots=True)
class CommandStatus:
    """The last attempt of a command that the log tells of; None expires never.

    `ours`: this process was the first to claim the attempt, and so it alone may send it.
    """

    ven_id: str
    attempt: int
    state: DeliveryState
    expires_at: datetime | None
    ours: bool = False


class CommandIndex:
    """Learns from the log, record by record; what was learnt twice changes nothing."""

    def __init__(self) -> None:
        self._commands: dict[str, CommandStatus] = {}

    def __len__(self) -> int:
        return len(self._commands)

    def get(self, correlation_id: str) -> CommandStatus | None:
        """Return what is known of a command."""
        return self._commands.get(correlation_id)

    def learn(self, evidence: DeliveryEvidence, *, ours: bool) -> None:
        """Take in the next record of the log; `ours` where this process wrote it.

        The first record of an attempt says whose it is. `sent` stands for good: no later attempt is to go out.
        """
        known = self._commands.get(evidence.correlation_id)
        if known is None or (evidence.attempt > known.attempt and known.state != "sent"):
            self._commands[evidence.correlation_id] = CommandStatus(
                evidence.ven_id, evidence.attempt, evidence.state, evidence.expires_at, ours=ours
            )
        elif evidence.state == "sent" or (evidence.state == "expired" and evidence.attempt == known.attempt):
            known.state = "sent" if known.state == "sent" else evidence.state

    def may_send(self, correlation_id: str, attempt: int) -> bool:
        """Whether this process has claimed the attempt before all others, and nothing shows that it went out."""
        known = self._commands.get(correlation_id)
        return known is not None and known.ours and known.attempt == attempt and known.state == "sending"

    def forget(self, now: datetime) -> None:
        """Drop what can no longer be sent."""
        self._commands = {name: known for name, known in self._commands.items() if not _is_over(known, now)}


def _is_over(known: CommandStatus, now: datetime) -> bool:
    # Compared as it is: others write to the log, too, and not every time there is one in UTC.
    return known.expires_at is not None and known.expires_at < now - _REMEMBERED
